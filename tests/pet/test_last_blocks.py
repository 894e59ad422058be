import pytest

from robustpeft.pet import LastBlocks
from robustpeft.types import UserError


def trained(model, k):
    handle = LastBlocks(k).attach(model)
    return {name for name in handle.named_parameters() if not handle.is_head(name)}


@pytest.mark.parametrize(("d", "depth", "k"), [(24, 3, 2), (32, 2, 2), (8, 12, 1)])
def test_the_count_is_the_one_in_the_docstring(build, d, depth, k):
    model = build(embed_dim=d, depth=depth)
    count = (12 * d**2 + 13 * d) * k + 2 * d
    assert LastBlocks(k).count(model) == count
    handle = LastBlocks(k).attach(model)
    assert handle.num_parameters - handle.num_head_parameters == count


@pytest.mark.parametrize("family", ["vit_tiny_patch16_224", "vit_base_patch16_clip_224"])
def test_they_are_the_last_with_what_follows_and_without_what_precedes(build, family):
    """Block 1 is no prefix of block 11, and the norm in front of a CLIP tower's blocks stays frozen."""
    names = trained(build(family, depth=12, embed_dim=8), 1)
    assert {name for name in names if not name.startswith("blocks.11.")} == {"norm.weight", "norm.bias"}
    assert len(names) == 14
    names = trained(build(family, depth=12, embed_dim=8), 11)
    assert {name.split(".")[1] for name in names if name.startswith("blocks")} == {str(i) for i in range(1, 12)}


def test_a_norm_behind_the_pooling_is_behind_the_last_block(build):
    names = trained(build(global_pool="avg"), 1)
    assert {"fc_norm.weight", "fc_norm.bias"} < names


def test_a_layer_scale_belongs_to_its_block(build):
    assert {"blocks.1.ls1.gamma", "blocks.1.ls2.gamma"} < trained(build("vit_small_patch14_reg4_dinov2"), 1)


@pytest.mark.parametrize("k", [0, -1])
def test_no_block_is_refused(k):
    with pytest.raises(UserError, match=f"k must be at least 1; got {k}"):
        LastBlocks(k)


def test_more_blocks_than_there_are_are_refused(model):
    with pytest.raises(UserError, match="k = 3 is more than the 2 blocks of this vit"):
        LastBlocks(3).attach(model)
    assert model.attachments == []
