from dataclasses import replace

import pytest

from robustpeft.records import Check
from robustpeft.report.study.protocol import protocol
from robustpeft.report.study.summary import summarise_grids


@pytest.fixture
def grids(study):
    return summarise_grids(study, "main")


def test_it_says_how_was_chosen_and_who_judged(study, grids):
    text = protocol(study, grids)
    assert text.startswith("For every arm training.learning_rate was chosen on validation images from 3 trials")
    assert "run anew with seeds 1, 2; only these runs were judged" in text
    assert "Grid main: digits_vit on digits, test split" in text
    assert "McNemar's exact tests" in text
    assert "McNemar" not in protocol(replace(study, contrasts=()), grids)


def test_the_note_of_the_data_stands_behind_their_name(grids, study):
    for note, shown in (("Enlarged.", " (Enlarged). Attacks"), ("", "classes. Attacks")):
        data = replace(grids[0].example.data, note=note)
        assert shown in protocol(study, (replace(grids[0], example=replace(grids[0].example, data=data)),))


def test_it_says_where_and_when_and_how_to_repeat_it(study, grids):
    environment = {"torch": "2.15.0", "device": "cpu", "threads": "1"}
    judged = replace(grids[0], example=replace(grids[0].example, environment=environment, created="2026-01-31T09:00Z"))
    text = protocol(replace(study, command="robustpeft study mine"), (judged,))
    assert text.endswith(
        "Measured with: torch 2.15.0, device cpu, threads 1, 2026-01-31. To repeat it: robustpeft study mine"
    )
    nowhere = replace(grids[0], example=replace(grids[0].example, environment={}))
    assert "Measured with" not in protocol(study, (nowhere,))
    assert "To repeat it" not in protocol(study, (nowhere,))


def test_it_says_by_what_was_chosen_and_where_nothing_was(study, grids):
    by = "by most images right under the selection attack, then most without it"
    assert f"{by}; ties" in protocol(study, grids)
    calm = replace(study.arms[0], trials=tuple(replace(trial, attacked=False) for trial in study.arms[0].trials))
    mixed = replace(study, arms=(calm, *study.arms[1:]))
    assert f"{by} (most images right without an attack for arms tuned without an adversary); ties" in protocol(
        mixed, grids
    )
    given = replace(study.arms[0], grid="given", trials=())
    text = protocol(replace(study, arms=(*study.arms, given)), grids)
    assert text.startswith(
        "For every arm of main training.learning_rate was chosen on validation images from 3 trials,"
    )


def test_it_says_that_nothing_checked_the_audits(study, grids):
    assert "No check was made of these audits." in protocol(study, grids)
    checked = replace(grids[0].example, checks=(Check("a", "A", "pass", ""),))
    assert "No check" not in protocol(study, (replace(grids[0], example=checked),))
