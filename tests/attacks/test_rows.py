import dataclasses

import pytest
import torch

from robustpeft.attacks.rows import Rows, row_where


@dataclasses.dataclass(frozen=True)
class Inner(Rows):
    values: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Outer(Rows):
    points: torch.Tensor
    inner: Inner
    name: str = "shared"
    nothing: torch.Tensor | None = None


def outer(*numbers):
    values = torch.tensor(numbers)
    return Outer(values[:, None] * torch.ones(2), Inner(values.long()))


def assert_same(one, other):
    for (name, mine), (its_name, its) in zip(one.tensors().items(), other.tensors().items(), strict=True):
        assert name == its_name
        assert torch.equal(mine, its)
        assert mine.dtype == its.dtype


def test_rows_are_taken_in_the_order_asked_for_and_from_what_lies_within_too():
    taken = outer(0.0, 1.0, 2.0).take(torch.tensor([2, 0, 2]))
    assert_same(taken, outer(2.0, 0.0, 2.0))
    assert (taken.name, taken.nothing) == ("shared", None)


def test_rows_are_put_into_a_copy():
    rows = outer(0.0, 1.0, 2.0)
    assert_same(rows.put(torch.tensor([2, 0]), outer(8.0, 9.0)), outer(9.0, 1.0, 8.0))
    assert_same(rows, outer(0.0, 1.0, 2.0))


def test_what_is_put_takes_the_type_of_what_is_there():
    put = outer(0.0, 1.0).put(torch.tensor([1]), Outer(torch.full((1, 2), 5, dtype=torch.int64), Inner(torch.ones(1))))
    assert_same(put, Outer(torch.tensor([[0.0, 0], [5, 5]]), Inner(torch.tensor([0, 1]))))


def test_tensors_have_dotted_names_and_can_be_replaced_by_them():
    rows = outer(0.0, 1.0)
    assert list(rows.tensors()) == ["points", "inner.values"]
    longer = {name: tensor.repeat_interleave(2, 0) for name, tensor in rows.tensors().items()}
    assert_same(rows.with_tensors(longer), outer(0.0, 0.0, 1.0, 1.0))
    assert rows.with_tensors(longer).name == "shared"
    narrow = {name: tensor.to(torch.int8) for name, tensor in longer.items()}
    assert_same(rows.with_tensors(narrow), outer(0.0, 0.0, 1.0, 1.0))  # each in the type it had


def test_a_tensor_that_is_not_there_is_missed():
    with pytest.raises(KeyError, match=r"inner\.values"):
        outer(0.0).with_tensors({"points": torch.ones(1, 2)})


@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 3, 4, 4)])
def test_a_row_comes_from_one_or_the_other_whole(shape):
    chosen, other = torch.zeros(shape), torch.ones(shape)
    mixed = row_where(torch.tensor([True, False]), chosen, other)
    assert torch.equal(mixed, torch.stack([chosen[0], other[1]]))
