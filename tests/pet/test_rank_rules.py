import json

import pytest

from robustpeft.pet import METHOD_AXIS, LNLoRA, LoRA, PETMethod, RankRule
from robustpeft.pet.rank_rules import ranked_sites
from robustpeft.types import COMPONENTS, UserError, from_plain, to_plain


@pytest.fixture(scope="module")
def seams(build):
    return build(depth=12).require_seams()


def ranks(seams, *rules, components=("q", "fc1"), blocks=None, r=4):
    return {(s.component, s.block): r for s, r in ranked_sites(seams, components, blocks, r, rules).items()}


def test_without_rules_all_chosen_maps_have_one_rank(seams):
    assert ranks(seams) == {(c, b): 4 for c in ("q", "fc1") for b in range(12)}
    assert list(ranks(seams, components=COMPONENTS, blocks=(0,))) == [
        (c, None if c == "patch_embed" else 0) for c in COMPONENTS
    ]


def test_a_rule_hits_blocks_10_and_11_of_12(seams):
    found = ranks(seams, RankRule(16, blocks=(10, 11)))
    assert {b for (_, b), r in found.items() if r == 16} == {10, 11}
    assert found == ranks(seams, RankRule(16, blocks=(-1, -2)))


def test_block_1_is_not_mistaken_for_10_and_11(seams):
    assert {key for key, r in ranks(seams, RankRule(16, blocks=(1,))).items() if r == 16} == {("q", 1), ("fc1", 1)}
    assert {b for _, b in ranks(seams, blocks=(1,))} == {1}


def test_components_and_blocks_must_both_fit_and_the_last_rule_decides(seams):
    found = ranks(seams, RankRule(2, ("q",)), RankRule(3, ("q",), (5,)), RankRule(7, blocks=(6,)))
    assert {key: r for key, r in found.items() if r != 4} == (
        {("q", b): 2 for b in range(12)} | {("q", 5): 3, ("q", 6): 7, ("fc1", 6): 7}
    )


def test_rank_0_leaves_a_map_out(seams):
    assert ranks(seams, RankRule(0, ("q",), (3,))).keys() == ranks(seams).keys() - {("q", 3)}


@pytest.mark.parametrize("blocks", [(-1,), (11,), (-1, 11)])
def test_negative_blocks_count_from_the_end(seams, blocks):
    assert {b for _, b in ranks(seams, blocks=blocks)} == {11}


def test_blocks_do_not_concern_maps_outside_them(seams):
    found = ranks(seams, RankRule(9, blocks=(2,)), components=("patch_embed", "q"), blocks=(2, 3))
    assert found == {("patch_embed", None): 4, ("q", 2): 9, ("q", 3): 4}


@pytest.mark.parametrize(
    ("rule", "blocks", "message"),
    [
        (
            RankRule(2, ("v",)),
            None,
            r"rank_pattern.0, RankRule\(r=2, .* not adapted; .*: patch_embed; q, fc1 in blocks 0, 1,",
        ),
        (RankRule(2, ("q", "fc3")), None, "names what is not adapted"),
        (RankRule(2, ()), None, "names what is not adapted"),
        (RankRule(2, ("patch_embed",), (0,)), None, "names what is not adapted"),
        (RankRule(2, None, (3, 4)), (4, 5), "these are the adapted maps: patch_embed; q, fc1 in blocks 4, 5$"),
        (RankRule(2, None, (12,)), None, r"blocks \[12\] do not exist; this network has blocks 0 to 11, or -12 to -1"),
        (RankRule(0), None, "gives every map the rank 0"),
        (None, (-13,), r"blocks \[-13\] do not exist"),
    ],
)
def test_what_matches_nothing_is_refused_with_a_list_of_what_there_is(seams, rule, blocks, message):
    rules = () if rule is None else (rule,)
    with pytest.raises(UserError, match=message):
        ranks(seams, *rules, blocks=blocks, components=("patch_embed", "q", "fc1"))


def test_the_second_rule_is_called_by_its_number(seams):
    with pytest.raises(UserError, match=r"rank_pattern\.1"):
        ranks(seams, RankRule(2), RankRule(2, ("v",)))


def test_a_negative_rank_is_refused():
    assert RankRule(0).r == 0
    with pytest.raises(UserError, match="must be at least 0, which leaves the maps out; got -1"):
        RankRule(-1)


@pytest.mark.parametrize("technique", [LoRA, LNLoRA])
def test_rules_are_read_from_plain_data_and_written_to_it(technique):
    method = technique(rank_pattern=(RankRule(16, ("v",), (10, 11)), RankRule(0, blocks=(0,))))
    plain = json.loads(json.dumps(to_plain(method, (METHOD_AXIS,))))
    assert plain["rank_pattern"][0] == {"r": 16, "components": ["v"], "blocks": [10, 11]}
    assert from_plain(PETMethod, plain, (METHOD_AXIS,)) == method
    short = {"name": plain["name"], "rank_pattern": [{"r": 2, "blocks": [1]}]}
    assert from_plain(PETMethod, short, (METHOD_AXIS,)).rank_pattern == (RankRule(2, None, (1,)),)
    assert hash(method) == hash(from_plain(PETMethod, plain, (METHOD_AXIS,)))
