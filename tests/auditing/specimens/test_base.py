import dataclasses

import pytest

from robustpeft.auditing.specimens import HONEST, SPECIMENS, SPOILED
from robustpeft.auditing.specimens.base import CHECKS


@pytest.mark.parametrize("table", [SPECIMENS, HONEST, SPOILED])
def test_entries_are_values_with_a_sentence(table):
    for entry in table.values():
        with pytest.raises(dataclasses.FrozenInstanceError):
            entry.name = "other"
        sentence = getattr(entry, "what_is_wrong", None) or entry.why_suspected
        assert sentence[0].islower()
        assert not sentence.endswith(".")


def test_only_what_does_not_mislead_may_go_unnoticed():
    assert [name for name, entry in SPECIMENS.items() if not entry.must_be_found] == ["k_winners"]


def test_checks_are_said_in_words():
    assert all(len(words.split()) >= 3 for words in CHECKS.values())
