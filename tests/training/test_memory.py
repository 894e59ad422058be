import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.training.memory import AtOnce, is_out_of_memory, join_rows, parts


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error, answer):
    assert is_out_of_memory(error) is answer


def test_real_words_of_the_cpu_are_known():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_each_half_is_halved_for_itself_down_to_one_image():
    at_once = AtOnce()
    assert at_once.halve("attack", 7).startswith("the attack takes 4 images at once")
    assert [at_once.halve("parameters", 7).split()[4] for _ in range(3)] == ["4", "2", "1"]
    assert at_once == AtOnce(parameters=1, attack=4)
    with pytest.raises(UserError, match="out of memory in the parameter pass with one image"):
        at_once.halve("parameters", 7)


def test_a_size_beyond_the_batch_is_halved_from_the_batch():
    at_once = AtOnce(parameters=100)
    at_once.halve("parameters", 8)
    assert at_once.parameters == 4


def test_parts_are_all_rows_in_order():
    cpu = torch.device("cpu")
    assert [p.tolist() for p in parts(5, 2, cpu)] == [[0, 1], [2, 3], [4]]
    assert [p.tolist() for p in parts(3, None, cpu)] == [[0, 1, 2]]
    pieces = [{"a": torch.arange(5)[rows]} for rows in parts(5, 2, cpu)]
    assert torch.equal(join_rows(pieces)["a"], torch.arange(5))
