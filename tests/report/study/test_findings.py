from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import binomtest, kendalltau

from robustpeft.records import Check, write_record
from robustpeft.report.study.comparison import pairings
from robustpeft.report.study.findings import findings, front, kendall
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
        "standard deviation of 2 seeds, no test; 95 % Wilson interval over 40 images 62.5 to 87.7), 96.2 +- 1.8 % "
        "without one."
    )
    assert sentences[2].startswith(
        "LoRA 1 against full: 22.5 % and 77.5 % (29 % of it; 95 % interval 13 to 48), with 1 % of its trained "
        "parameters;"
    )
    assert (
        "it alone keeps 0 images, the other alone 22: it is worse (McNemar, exact, p = 4.8e-07; 1.4e-06" in sentences[2]
    )
    assert "a difference is not shown (McNemar, exact, p = 0.5; 0.5 after Holm over 3 comparisons)" in sentences[4]
    assert sentences[5] == (
        "LoRA: from 100 to 400, 3 budgets are too few to show a trend with the number of trained parameters (Kendall's "
        "tau 1.00 over 3 budgets, exact p = 0.33, not corrected)."
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


def test_an_arm_whose_gradients_mislead_pgd_is_named(study, grids):
    (grid,) = grids
    key = next(m.key for m in grid.example.of("attack", "fgsm") if m.strength == 0.1)
    pgd = next(m.key for m in grid.example.of("attack", "pgd") if m.strength == 0.1)

    def said(label, share):  # as if the other attack were the stronger one, by so much
        arms = tuple(
            replace(s, measured=s.measured | {key: replace(s.measured[pgd], shares=(share * s.measured[pgd].mean,))})
            if s.arm.label == label
            else s
            for s in grid.arms
        )
        return [sentence for sentence in findings(study, [replace(grid, arms=arms)]) if "astray" in sentence]

    assert said("full", 0.8) == []
    assert said("full", 0.5) == [
        "Caution: full: PGD leaves 77.5 % right, FGSM 38.8 %: its gradients lead a simple search astray, and PGD alone "
        "would have been a wrong judge."
    ]
    slight = {pgd: replace(grid.arms[0].measured[pgd], shares=(0.04,))}
    few = replace(grid.arms[0], measured=grid.arms[0].measured | slight | {key: replace(slight[pgd], shares=(0.0,))})
    assert not any("astray" in s for s in findings(study, [replace(grid, arms=(few, *grid.arms[1:]))]))
    assert said("LoRA 1", 0.0)[0].startswith("Caution: LoRA 1: PGD leaves 22.5 % right, FGSM 0.0 %")


def test_the_front_is_not_beaten_with_as_few_parameters(grids):
    grid = grids[0]
    assert [s.arm.label for s in front(grid)] == ["LoRA 1", "LoRA 2", "LoRA 4", "full"]
    worse = replace(grid.arms[0], num_trained=300)
    assert [s.arm.label for s in front(replace(grid, arms=(worse, *grid.arms[1:])))] == ["LoRA 2", "LoRA 4", "full"]
    alike = replace(grid.arms[3], num_trained=100)
    assert [s.arm.label for s in front(replace(grid, arms=(*grid.arms[:3], alike)))] == ["full"]


def test_what_keeps_nothing_is_on_no_front(study, grids):
    (grid,) = grids
    nothing = {t: replace(s, shares=(0.0, 0.0)) for t, s in grid.arms[0].robust.items()}
    lame = replace(grid, arms=(replace(grid.arms[0], robust=nothing), *grid.arms[1:]))
    assert [s.arm.label for s in front(lame)] == ["LoRA 2", "LoRA 4", "full"]
    none = replace(grid, arms=tuple(replace(arm, robust=nothing) for arm in grid.arms))
    assert front(none) == ()
    assert not any("Not beaten" in s for s in findings(study, [none]))


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
    assert not any("against full" in sentence for sentence in sentences if "Caution" not in sentence)
    assert any("full collapsed (seed 1: it answers one class alone): nothing is claimed" in s for s in sentences)
    assert main_table(lame).rows[3][0] == "full [!]"
    assert main_table(grid).rows[3][0] == "full"


def test_a_diverged_seed_is_not_left_out_in_favour_of_luckier_ones(study):
    first, *rest = study.arms
    runs = (replace(first.runs[0], failed="the loss is not finite", diverged=True), first.runs[1])
    again = replace(study, arms=(replace(first, runs=runs), *rest))
    (grid,) = summarise_grids(again, "main")
    assert grid.arms[0].collapsed == "seed 1: the loss is not finite"
    assert "LoRA 1" not in [pair.one.arm.label for pair in pairings(again, [grid])]
    assert any("LoRA 1 collapsed (seed 1: the loss is not finite)" in s for s in findings(again, [grid]))


def test_there_is_no_winner_where_nothing_is_kept_and_ties_are_told(study, grids):
    (grid,) = grids
    nothing = {t: replace(s, shares=(0.0, 0.0)) for t, s in grid.arms[0].robust.items()}
    none = replace(grid, arms=tuple(replace(arm, robust=nothing) for arm in grid.arms))
    assert findings(study, [none])[0] == (
        "No arm keeps any image right under all attacks tried within linf 0.1 (95 % Wilson interval over 40 images 0.0 "
        "to 8.8)."
    )
    alike = replace(grid, arms=(*grid.arms[:2], replace(grid.arms[2], robust=grid.arms[3].robust), grid.arms[3]))
    assert "LoRA 4 keeps the most images right (equal in the mean: full) under" in findings(study, [alike])[0]


def test_one_seed_has_no_standard_deviation_to_speak_of(study):
    alone = replace(study, arms=tuple(replace(arm, runs=arm.runs[:1]) for arm in study.arms))
    assert "75.0 % (one seed, no test; 95 %" in findings(alone, summarise_grids(alone, "main"))[0]


def test_a_trial_that_was_lost_is_told_and_one_that_diverged_is_a_result(study, grids):
    first, *rest = study.arms
    lost = replace(first, trials=(*first.trials[:2], replace(first.trials[2], failed="out of memory", diverged=False)))
    assert not any("trials" in s for s in findings(study, grids))
    assert findings(replace(study, arms=(lost, *rest)), grids)[-1] == (
        "Caution: 1 trials have no result, so that less was tried there: LoRA 1, training.learning_rate 0.3: out of "
        "memory."
    )


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("integrity", "its accuracy must not be published"),
        ("strength", "its robust accuracy is an upper bound"),
        ("statistics", ""),
    ],
)
def test_what_an_audit_says_against_itself_is_told(study, group, said):
    run = study.arms[0].runs[0]
    audit = study.audit(run)
    write_record(
        replace(audit, checks=(Check("a", "Inputs lie in range", "fail", "no", "", group),)), study.place(run.identity)
    )
    cautions = [s for s in findings(study, summarise_grids(study, "main")) if "Inputs lie" in s]
    assert cautions == ([f"Caution: LoRA 1, seed 1: {said}; it does not hold: Inputs lie in range."] if said else [])


@pytest.mark.parametrize("count", [4, 5])
def test_a_trend_that_no_order_could_show_is_not_said_to_be_missing(study, grids, count):
    (grid,) = grids
    arms = [replace(grid.arms[0], num_trained=size) for size in range(1, count + 1)]
    (said,) = (s for s in findings(study, [replace(grid, arms=tuple(arms))]) if "Kendall" in s)
    assert ("4 budgets are too few" in said) == (count == 4)
    assert ("no trend with" in said) == (count == 5)
