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
    assert lora.fields[-1] == "rank_pattern=()"
    drop = next(entry for entry in entries_of("perturbations") if entry.name == "patch_drop")
    assert drop.fields[0] == "ratio (required)"
    pgd_at = next(entry for entry in entries_of("objectives") if entry.name == "pgd_at")
    assert pgd_at.fields[0].startswith("attack=PGD(steps=10")


def test_without_a_topic_everything_is_listed(type_in: Callable[..., Any]) -> None:
    said = type_in("list").out
    assert [topic for topic in TOPICS if topic not in said] == []


def test_within_a_budget_every_method_is_listed_with_its_size_its_count_and_its_share(
    type_in: Callable[..., Any],
) -> None:
    said = type_in("list", "methods", "--budget", "10k", "--backbone", "digits_vit").out
    assert "at most 10,000 trained parameters" in said
    lines = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert lines["lora"] == ["r=9", "9,216", "4.51%"]  # 2 (64 + 64) 4 = 1,024 for each rank; 204,352 without the head
    assert lines["adapter"] == ["bottleneck=9", "9,800", "4.80%"]  # 2 (2 64 m + m + 64) 4
    assert lines["vpt"] == ["num_prompts=156", "9,984", "4.89%"]
    assert lines["bitfit"] == ["fixed", "2,944", "1.44%"]
    assert lines["full"] == ["fixed,", "above", "the", "budget", "204,352", "100.00%"]
    assert lines["linear_probe"] == ["fixed", "0", "0.00%"]
    assert lines["combined"] == lines["peft"] == ["depends", "on", "its", "fields"]
    assert [name for name in rp.METHODS if name not in lines] == []


def test_a_budget_of_something_else_than_methods_is_refused(type_in: Callable[..., Any]) -> None:
    for topic in ((), ("attacks",)):
        outcome = type_in("list", *topic, "--budget", "5k")
        assert outcome.status == 2
        assert "--budget goes with methods" in outcome.err
