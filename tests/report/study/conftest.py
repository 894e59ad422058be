"""A study of three arms and two seeds, whose every count is known from how it is built."""

from pathlib import Path

import pytest

from robustpeft.records import ArmRecord, ContrastRecord, RunRecord, StudyRecord, Subject, TrialRecord, write_record

WRONG = {
    "LoRA 1": (range(30), range(32)),
    "LoRA 2": (range(20), range(24)),
    "LoRA 4": (range(12), range(12)),
    "full": (range(10), range(8)),
}
TRAINED = {"LoRA 1": 100, "LoRA 2": 200, "LoRA 4": 400, "full": 10_000}


@pytest.fixture
def study(tmp_path, make_record):
    """At epsilon 0.1 an arm misses `WRONG`, of 40 images, for each of two seeds; at 0.05 every second of them."""
    arms = []
    for label, missed in WRONG.items():
        runs = []
        for seed, wrong in enumerate(missed, 1):
            identity = f"{label.replace(' ', '')}-{seed}"
            subject = Subject("x", "digits_vit", "b" * 64, 10_000, 40_000, {"name": "lora"}, num_trained=TRAINED[label])
            record = make_record(subject=subject, clean=set(range(seed)), fgsm=set(), pgd=set(wrong))
            write_record(record, tmp_path / "store" / identity)
            runs.append(RunRecord(identity, seed, TRAINED[label], 10, 10_000, 400, 1.0))
        trials = tuple(
            TrialRecord(f"t{rate}", {"training.learning_rate": rate}, 50, 40, count, failed=why)
            for rate, count, why in ((0.1, 30, ""), (0.2, 20, ""), (0.3, 0, "not finite"))
        )
        chosen = {"training.learning_rate": 0.1}
        group = label.split()[0]
        edges = ("training.learning_rate",) if label == "full" else ()
        arms.append(ArmRecord("main", label, group, {"method": label}, chosen, edges, trials, tuple(runs)))
    contrasts = (ContrastRecord("full", (), "main"),)
    return StudyRecord(
        "mine", "Which?", "smoke", "../store", tuple(arms), contrasts, ("@misc{a}",), None, Path(tmp_path / "study")
    )
