import dataclasses

import pytest

from robustpeft.types import COMPONENTS, STAGE_COMPONENTS, Residual, Seams, Site, UserError

SITES = (
    Site("patch_embed", "stem"),
    *(Site(part, f"blocks.{b}.qkv", b, (i, 3)) for b in range(3) for i, part in enumerate("qkv")),
    *(Site("fc1", f"blocks.{b}.fc1", b) for b in range(3)),
)
SEAMS = Seams("toy", SITES, heads=("head",), blocks=("blocks.0", "blocks.1", "blocks.2"), norms=())


def test_the_components_are_the_linear_maps_of_a_vit_in_forward_order():
    assert COMPONENTS == ("patch_embed", "q", "k", "v", "proj", "fc1", "fc2")
    assert STAGE_COMPONENTS == ("reduction",)


def test_the_components_that_there_are_come_in_the_order_of_the_table():
    assert SEAMS.components == ("patch_embed", "q", "k", "v", "fc1")
    sites = (Site("reduction", "merge"), *reversed(SITES))
    assert dataclasses.replace(SEAMS, sites=sites).components == ("patch_embed", "q", "k", "v", "fc1", "reduction")


def test_the_maps_between_stages_can_be_selected():
    seams = dataclasses.replace(SEAMS, sites=(*SITES, Site("reduction", "merge")))
    assert [site.module for site in seams.select(["reduction"], blocks=[1])] == ["merge"]
    with pytest.raises(UserError, match=r"unknown component 'reducton'; did you mean 'reduction'\?"):
        seams.select(["reducton"])


def test_selecting_components_keeps_the_order_of_the_network():
    assert [s.module for s in SEAMS.select(["fc1", "q"])] == [
        *(f"blocks.{b}.qkv" for b in range(3)),
        *(f"blocks.{b}.fc1" for b in range(3)),
    ]
    assert {s.part for s in SEAMS.select(["k"])} == {(1, 3)}


def test_blocks_restrict_what_lies_in_blocks_and_nothing_else():
    chosen = SEAMS.select(["patch_embed", "q"], blocks=iter([0, 2]))
    assert [(s.component, s.block) for s in chosen] == [("patch_embed", None), ("q", 0), ("q", 2)]


def test_everything_there_is_can_be_selected():
    assert SEAMS.select(["patch_embed", "q", "k", "v", "fc1"]) == SITES


@pytest.mark.parametrize(
    ("components", "blocks", "message"),
    [
        (["fc3"], None, r"unknown component 'fc3'; did you mean 'fc1'\?|unknown component 'fc3'; did you mean 'fc2'\?"),
        (["q", "proj"], None, "this toy has no 'proj'; it has patch_embed, q, k, v, fc1, head$"),
        (["q"], [1, 3, -1], r"blocks \[-1, 3\] do not exist; this network has blocks 0 to 2"),
        ([], None, r"components \[\] match nothing; this network has patch_embed, q, k, v, fc1"),
        (["q"], [], r"components \['q'\] match nothing"),
        ("qk", None, r"components are several names, such as \('qk',\); got the text 'qk'"),
        ("fc1", None, r"such as \('fc1',\)"),
    ],
)
def test_a_choice_that_matches_nothing_lists_what_there_is(components, blocks, message):
    with pytest.raises(UserError, match=message):
        SEAMS.select(components, blocks)


def test_why_a_component_is_missing_is_said():
    seams = dataclasses.replace(SEAMS, absent="its attention is closed")
    with pytest.raises(
        UserError, match=r"this toy has no 'proj'; it has patch_embed, q, k, v, fc1, head; its attention is closed$"
    ):
        seams.select(["proj"])


def test_a_branch_of_which_only_the_end_is_known_takes_nothing_beside_it():
    whole = Residual(("attn",), ("norm2", "mlp"), 8)
    ends = Residual(("norm1", "attn"), ("drop",), 8)
    assert dataclasses.replace(SEAMS, residuals=(whole, whole)).require_parallel() == (whole, whole)
    seams = dataclasses.replace(SEAMS, residuals=(whole, ends))
    assert seams.require_residuals() == (whole, ends)
    with pytest.raises(
        UserError, match=r"this toy only the end is known, so nothing can be put beside them.* such as adapter"
    ):
        seams.require_parallel()
    with pytest.raises(UserError, match="the blocks of this toy are not"):
        SEAMS.require_parallel()


def test_what_a_network_does_not_have_is_refused_with_what_can_be_used_instead():
    with pytest.raises(UserError, match=r"the blocks of this toy are not .* such as lora"):
        SEAMS.require_residuals()
    with pytest.raises(UserError, match=r"the blocks of this toy take no sequence of tokens .* such as lora"):
        SEAMS.require_prefix_tokens()


def test_what_a_network_has_is_returned_also_where_no_token_stands_before_the_patches():
    residuals = (Residual(("norm1", "attn"), ("norm2", "mlp"), 8),)
    seams = dataclasses.replace(SEAMS, residuals=residuals, prefix_tokens=0)
    assert seams.require_residuals() == residuals
    assert seams.require_prefix_tokens() == 0
