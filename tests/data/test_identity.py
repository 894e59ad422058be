import pytest
import torch

from robustpeft.data.identity import ids_of_contents, ids_of_names
from robustpeft.errors import UserError


def test_an_id_depends_on_its_own_name_alone():
    assert torch.equal(ids_of_names(["a", "b", "c"])[1:], ids_of_names(["b", "c"]))


def test_ids_survive_readers_that_know_only_doubles():
    ids = ids_of_names(str(i) for i in range(1000)).tolist()
    assert all(0 <= i < 2**53 and int(float(i)) == i for i in ids)
    assert len(set(ids)) == 1000


def test_a_name_that_occurs_twice_is_refused():
    with pytest.raises(UserError, match="'a' and 'a' have the same id"):
        ids_of_names(["a", "b", "a"])


def test_ids_of_contents_follow_the_content_through_any_order():
    assert ids_of_contents([b"x", b"y"]).tolist() == ids_of_contents([b"y", b"x"]).tolist()[::-1]


def test_a_repeated_content_gets_an_id_of_its_own():
    ids = ids_of_contents([b"x", b"x", b"x"]).tolist()
    assert len(set(ids)) == 3
    assert ids == ids_of_contents([b"x", b"y", b"x", b"x"])[[0, 2, 3]].tolist()
