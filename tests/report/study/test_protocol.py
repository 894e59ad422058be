from dataclasses import replace

import pytest

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
