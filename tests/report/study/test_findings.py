from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import binomtest, kendalltau

from robustpeft.report.study.findings import findings, front, kendall, pairings
from robustpeft.report.study.summary import summarise_grids
from robustpeft.report.study.tables import main_table


@pytest.fixture
def grids(study):
    return [summarise_grids(study, "main")[0]]


def test_pairs_are_compared_image_by_image_and_corrected(study, grids):
    found = pairings(study, grids)
    assert [(pair.one.arm.label, pair.only_one, pair.only_reference) for pair in found] == [
        ("LoRA 1", 0, 22),
        ("LoRA 2", 0, 14),
        ("LoRA 4", 0, 2),
    ]
    assert [pair.p_value for pair in found] == pytest.approx([binomtest(0, n).pvalue for n in (22, 14, 2)])
    assert [pair.corrected for pair in found] == pytest.approx(
        [binomtest(0, n).pvalue * m for n, m in ((22, 3), (14, 2), (2, 1))]
    )


def test_named_arms_alone_are_compared_and_unknown_ones_left_out(study, grids):
    contrast = replace(study.contrasts[0], against=("LoRA 2", "gone"))
    found = pairings(replace(study, contrasts=(contrast, replace(contrast, grid="other"))), grids)
    assert [pair.one.arm.label for pair in found] == ["LoRA 2"]


def test_every_sentence_has_its_number_and_test(study, grids):
    sentences = findings(study, grids)
    assert sentences[0] == (
        "full keeps the most images right under all attacks tried within linf 0.1: 77.5 +- 3.5 % (mean and "
        "standard deviation of 2 seeds; 95 % Wilson interval over 40 images 62.5 to 87.7), 96.2 +- 1.8 % without one."
    )
    assert sentences[2].startswith(
        "LoRA 1 against full: 22.5 % and 77.5 % (29 % of it; 95 % interval 14 to 46), with 1 % of its trained "
        "parameters;"
    )
    assert (
        "it alone keeps 0 images, the other alone 22: it is worse (McNemar, exact, p = 4.8e-07; 1.4e-06" in sentences[2]
    )
    assert "a difference is not shown (McNemar, exact, p = 0.5; 0.5 after Holm over 3 comparisons)" in sentences[4]
    assert sentences[5] == (
        "LoRA: from 100 to 400, no trend with the number of trained parameters is shown (Kendall's tau 1.00 over "
        "3 budgets, exact p = 0.33, not corrected)."
    )
    assert sentences[6] == "Caution: the best value lies at the edge of what was tried for full."
    assert len(sentences) == 7


def test_sentences_of_several_grids_name_theirs(study):
    twins = tuple(replace(arm, grid="twin") for arm in study.arms)
    both = replace(study, arms=(*study.arms, *twins))
    sentences = findings(both, [*summarise_grids(both, "main"), *summarise_grids(both, "twin")])
    named = ["main", "main", "twin", "twin", "main", "main", "main", "main", "twin", "Caution"]
    assert [sentence.partition(":")[0] for sentence in sentences] == named
    assert sentences[-1].endswith("for main: full; twin: full.")


def test_failures_are_told(study, grids):
    first, *rest = study.arms
    lame = replace(first, runs=(first.runs[0], replace(first.runs[1], failed="died")))
    lost = replace(first, label="lost", chosen=None, runs=())
    sentences = findings(replace(study, arms=(lame, *rest, lost), contrasts=()), grids)
    assert sentences[-2] == "Caution: 1 runs have no result: LoRA 1, seed 2: died."
    assert sentences[-1] == "Caution: no trial came to a result for lost."


def test_the_front_is_not_beaten_with_as_few_parameters(grids):
    grid = grids[0]
    assert [s.arm.label for s in front(grid)] == ["LoRA 1", "LoRA 2", "LoRA 4", "full"]
    worse = replace(grid.arms[0], num_trained=300)
    assert [s.arm.label for s in front(replace(grid, arms=(worse, *grid.arms[1:])))] == ["LoRA 2", "LoRA 4", "full"]
    alike = replace(grid.arms[3], num_trained=100)
    assert [s.arm.label for s in front(replace(grid, arms=(*grid.arms[:3], alike)))] == ["full"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 100), min_size=3, max_size=6, unique=True))
def test_the_trend_is_kendalls(values):
    tau, p = kendall(values)
    expected = kendalltau(range(len(values)), values, method="exact")
    assert (tau, p) == pytest.approx((expected.statistic, expected.pvalue))


def test_nothing_is_claimed_on_a_collapsed_arm(study, grids):
    grid = grids[0]
    lame = replace(grid, arms=(*grid.arms[:3], replace(grid.arms[3], collapsed="seed 1: it answers one class alone")))
    assert "full" not in [s.arm.label for s in front(lame)]
    assert pairings(study, [lame]) == ()
    sentences = findings(study, [lame])
    assert sentences[0].startswith("LoRA 4 keeps the most images right")
    assert not any("against full" in sentence for sentence in sentences)
    assert any("full collapsed (seed 1: it answers one class alone): nothing is claimed" in s for s in sentences)
    assert main_table(lame).rows[3][0] == "full [!]"
    assert main_table(grid).rows[3][0] == "full"
