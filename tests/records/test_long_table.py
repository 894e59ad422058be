from pathlib import Path

import pytest

from robustpeft.errors import UserError
from robustpeft.records import (
    ArmRecord,
    AuditRecord,
    DataInfo,
    Measurement,
    Rate,
    RunRecord,
    StudyRecord,
    Subject,
    read_records,
    write_record,
    write_study_record,
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for seed in (1, 2):
        subject = Subject("LoRA", "vit", "b" * 64, 100, 400, {"name": "lora"}, num_trained=7, tuning={"seed": seed})
        data = DataInfo("photos", "test", 4, ("cat", "dog"), (16, 16), "d" * 64)
        clean = Measurement("clean", "clean", "clean", Rate(3, 4), (Rate(2, 2), Rate(1, 2)))
        threat = {"norm": "linf", "epsilon": 0.1}
        pgd = Measurement("pgd@linf:0.1", "attack", "pgd", Rate(seed, 4), (), {}, threat, 0.1)
        write_record(AuditRecord(subject, data, (clean, pgd)), tmp_path / "store" / str(seed))
    return tmp_path / "store"


def test_one_row_per_record_and_condition(store: Path) -> None:
    rows = read_records(store)
    assert [(row["seed"], row["key"], row["correct"], row["accuracy"]) for row in rows] == [
        (1, "clean", 3, 0.75),
        (1, "pgd@linf:0.1", 1, 0.25),
        (2, "clean", 3, 0.75),
        (2, "pgd@linf:0.1", 2, 0.5),
    ]
    low, high = Rate(1, 4).interval()
    expected = {"arm": "LoRA", "method": "lora", "objective": None, "norm": "linf", "strength": 0.1, "n": 4}
    expected |= {"low": low, "high": high, "num_trained": 7, "data": "photos", "split": "test", "kind": "attack"}
    assert {key: rows[1][key] for key in expected} == expected
    assert read_records(store / "1") == rows[:2] == read_records(store / "1" / "audit.json")


def test_of_a_study_the_judged_runs_alone_with_their_place(store: Path, tmp_path: Path) -> None:
    runs = (RunRecord("1", 1), RunRecord("2", 2, failed="died"))
    arm = ArmRecord("main", "mine", "group", {"method": "LoRA"}, {"training.learning_rate": 0.5}, (), (), runs)
    write_study_record(StudyRecord("s", "", "smoke", "../store", (arm,), directory=tmp_path / "study"))
    rows = read_records(tmp_path / "study")
    assert [row["key"] for row in rows] == ["clean", "pgd@linf:0.1"]
    expected = {"study": "s", "scale": "smoke", "grid": "main", "arm": "mine", "group": "group", "seed": 1}
    expected |= {"axis.method": "LoRA", "chosen.training.learning_rate": 0.5, "identity": "1"}
    assert {key: rows[0][key] for key in expected} == expected


def test_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no study and no audit record"):
        read_records(tmp_path)
