from collections.abc import Callable
from typing import Any

import pytest

import robustpeft as rp
from robustpeft.cli.catalogue import TOPICS, entries_of
from robustpeft.study import shipped_recipes

TABLES = {
    "methods": rp.METHODS,
    "attacks": rp.ATTACKS,
    "perturbations": rp.PERTURBATIONS,
    "objectives": rp.OBJECTIVES,
    "datasets": rp.DATASETS,
    "backbones": rp.BACKBONES,
    "recipes": shipped_recipes(),
}


@pytest.mark.parametrize("topic", TOPICS)
def test_everything_of_a_table_is_listed_with_a_sentence(topic: str, type_in: Callable[..., Any]) -> None:
    entries = entries_of(topic)
    assert [entry.name for entry in entries] == list(TABLES[topic])
    assert all(entry.summary for entry in entries)
    said = type_in("list", topic).out
    assert [name for name in TABLES[topic] if name not in said] == []


def test_fields_are_listed_with_their_defaults_and_required_ones_first() -> None:
    lora = next(entry for entry in entries_of("methods") if entry.name == "lora")
    assert lora.fields[:4] == ("r=8", "alpha=None", "components=('q', 'v')", "dropout=0.0")
    drop = next(entry for entry in entries_of("perturbations") if entry.name == "patch_drop")
    assert drop.fields[0] == "ratio (required)"
    pgd_at = next(entry for entry in entries_of("objectives") if entry.name == "pgd_at")
    assert pgd_at.fields[0].startswith("attack=PGD(steps=10")


def test_without_a_topic_everything_is_listed(type_in: Callable[..., Any]) -> None:
    said = type_in("list").out
    assert [topic for topic in TOPICS if topic not in said] == []
