import json
from pathlib import Path

import pytest

from robustpeft.errors import UserError
from robustpeft.records import (
    ArmRecord,
    ContrastRecord,
    RunRecord,
    StudyRecord,
    TrialRecord,
    read_study_record,
    write_study_record,
)


@pytest.fixture
def study(tmp_path: Path) -> StudyRecord:
    trial = TrialRecord("a", {"training.learning_rate": 0.1}, 100, 90, 50, 1.5)
    runs = (RunRecord("b", 1, 100, 10, 1000, 400, 2.5), RunRecord("c", 2, failed="because"))
    arm = ArmRecord("main", "LoRA", "LoRA", {"method": "LoRA"}, {"training.learning_rate": 0.1}, ("x",), (trial,), runs)
    lost = ArmRecord("other", "Full", "Full", {}, None, (), (), ())
    contrast = ContrastRecord("LoRA", ("Full",), "main")
    return StudyRecord("s", "Why?", "smoke", "../store", (arm, lost), (contrast,), ("@book{}",), 0.1, tmp_path)


def test_what_was_written_is_read(study: StudyRecord) -> None:
    file = write_study_record(study)
    assert read_study_record(file) == read_study_record(file.parent) == study


def test_only_judged_runs_and_arms_count(study: StudyRecord) -> None:
    assert [run.seed for run in study.arms[0].whole] == [1]
    assert study.grids == ("main", "other")
    assert [[arm.label for arm in study.of(grid)] for grid in study.grids] == [["LoRA"], []]


def test_nothing_another_version_and_damage_are_told(study: StudyRecord, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no study at"):
        read_study_record(tmp_path / "nowhere")
    file = write_study_record(study)
    plain = json.loads(file.read_text())
    file.write_text(json.dumps(plain | {"schema_version": 2}))
    with pytest.raises(UserError, match="version 2; this version of robustpeft reads 1"):
        read_study_record(file)
    del plain["arms"]
    file.write_text(json.dumps(plain))
    with pytest.raises(UserError, match="damaged"):
        read_study_record(file)
