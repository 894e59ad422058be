from dataclasses import replace

import numpy as np
import pytest

from robustpeft.records import ContrastRecord, RunRecord, write_record
from robustpeft.report.study.comparison import not_made, pairing_sentence, pairings
from robustpeft.report.study.findings import findings
from robustpeft.report.study.summary import summarise_grids

N = 40


@pytest.fixture
def judged(study, make_record):
    """A factory: a study of two arms, `one` compared with `other`, each given by what every seed keeps of 40 images."""

    def judged(one, other):
        arms = []
        for label, held in (("one", one), ("other", other)):
            runs = []
            for seed, kept in held.items():
                identity = f"{label}-{seed}"
                write_record(make_record(clean=set(), fgsm=set(), pgd=set(range(N)) - set(kept)), study.place(identity))
                runs.append(RunRecord(identity, seed, 100, 10, 10_000, 400, 1.0))
            arms.append(replace(study.arms[0], label=label, group=label, coordinates={"a": label}, runs=tuple(runs)))
        return replace(study, arms=tuple(arms), contrasts=(ContrastRecord("other", ("one",), "main"),))

    return judged


def compared(study):
    (pair,) = pairings(study, summarise_grids(study, "main"))
    return pair, pairing_sentence(pair, 1)


def test_an_arm_that_lacks_a_seed_is_not_worse_because_of_that(judged):
    """Alike arms, whose every seed keeps another half: in two of two seeds a quarter, in two of three seeds a half."""
    drawn = np.random.default_rng(0)
    one, other = ({seed: np.flatnonzero(drawn.random(N) < 0.5).tolist() for seed in (1, 2, 3)} for _ in range(2))
    del one[2]
    found = summarise_grids(judged(one, other), "main")[0]
    uneven = len(found.arms[1].kept - found.arms[0].kept), len(found.arms[0].kept - found.arms[1].kept)
    pair, sentence = compared(judged(one, other))
    assert pair.seeds == (1, 3)
    assert (pair.only_one, pair.only_reference) == (
        len((set(one[1]) & set(one[3])) - (set(other[1]) & set(other[3]))),
        len((set(other[1]) & set(other[3])) - (set(one[1]) & set(one[3]))),
    )
    assert uneven != (pair.only_reference, pair.only_one)
    assert "over the seeds that both have (1, 3)" in sentence
    assert f"{100 * (len(other[1]) + len(other[3])) / (2 * N):.1f} %" in sentence


def test_arms_without_a_seed_in_common_are_not_compared_and_it_is_said(judged):
    study = judged({1: range(20)}, {2: range(20)})
    grids = summarise_grids(study, "main")
    assert pairings(study, grids) == ()
    assert not_made(study, grids) == ("one against other",)
    assert "Caution: planned, but not made for want of sound runs: one against other." in findings(study, grids)


def test_no_order_is_claimed_where_means_and_majorities_disagree(judged):
    thirds = {1: [*range(27)], 2: [*range(14), *range(27, 40)], 3: [*range(14, 40)]}  # two seeds of three keep each
    study = judged(thirds, dict.fromkeys((1, 2, 3), range(30)))
    pair, sentence = compared(study)
    assert (pair.only_one, pair.only_reference) == (10, 0)
    assert pair.corrected < 0.05
    assert "66.7 % and 75.0 %" in sentence
    assert "no order is claimed, for the means do not say" in sentence


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        ({1: range(38), 2: range(39), 3: range(40)}, "it is better (McNemar"),
        ({1: range(38), 2: range(18), 3: range(40)}, "it is better, though single seeds overlap (McNemar"),
        ({1: range(3), 2: range(2), 3: range(1)}, "it is worse (McNemar"),
        ({1: range(38)}, "it is better, as far as one seed each can tell (McNemar"),
        ({1: range(22), 2: range(22), 3: range(22)}, "a difference is not shown (McNemar"),
    ],
)
def test_the_verdict_says_how_far_the_seeds_carry_it(judged, one, verdict):
    _, sentence = compared(judged(one, dict.fromkeys(one, range(20))))
    assert verdict in sentence


def test_an_interval_of_one_seed_each_is_over_images_alone(judged):
    assert "95 % interval over images alone" in compared(judged({1: range(10)}, {1: range(20)}))[1]
    both = dict.fromkeys((1, 2), range(20))
    assert "of it; 95 % interval 2" in compared(judged(dict.fromkeys((1, 2), range(10)), both))[1]


def test_nothing_kept_has_no_interval_that_pretends_to_be_one(judged):
    sentence = compared(judged(dict.fromkeys((1, 2), ()), dict.fromkeys((1, 2), range(20))))[1]
    assert "0.0 % and 50.0 % (0 % of it), with" in sentence


def test_many_times_the_parameters_are_no_percentage(study):
    first, *_, full = study.arms
    turned = replace(study, arms=(first, full), contrasts=(ContrastRecord("LoRA 1", ("full",), "main"),))
    assert "with 100 times its trained parameters" in compared(turned)[1]


def test_all_planned_comparisons_are_made_or_told(study):
    grids = summarise_grids(study, "main")
    assert not_made(study, grids) == ()
    lame = replace(grids[0], arms=(replace(grids[0].arms[0], collapsed="it did"), *grids[0].arms[1:]))
    assert not_made(study, [lame]) == ("LoRA 1 against full",)
