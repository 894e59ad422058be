import pytest
from hypothesis import given, strategies as st

from robustpeft.pet.block_choice import check_blocks, choose_blocks
from robustpeft.types import UserError


@given(depth=st.integers(1, 24), data=st.data())
def test_the_indices_are_those_of_python(depth, data):
    blocks = tuple(data.draw(st.lists(st.integers(-depth, depth - 1), min_size=1)))
    check_blocks(blocks)
    chosen = choose_blocks(blocks, depth)
    assert set(chosen) == {range(depth)[block] for block in blocks}
    assert list(chosen) == sorted(set(chosen))


def test_none_means_all():
    check_blocks(None)
    assert choose_blocks(None, 3) == (0, 1, 2)


@pytest.mark.parametrize("outside", [12, -13])
def test_what_lies_outside_is_refused(outside):
    with pytest.raises(UserError, match=rf"blocks \[{outside}\] do not exist; .* blocks 0 to 11, or -12 to -1"):
        choose_blocks((0, outside), 12)


def test_no_block_at_all_is_refused():
    with pytest.raises(UserError, match="at least one block"):
        check_blocks(())
