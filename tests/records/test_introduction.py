import dataclasses

import pytest

from robustpeft.records import AuditRecord, DataInfo, Finding, Introduction, Measurement, Rate, Subject, read_record
from robustpeft.records.introduction import introduction_from
from robustpeft.records.store import write_record

FOUND = Finding("normalization", "half", "probed", "right of 9: half 9", "--normalization half", {"half": 9}, 9)


def test_it_comes_back_as_it_was_written(tmp_path):
    met = Introduction("m.onnx", "onnx", (FOUND,), "robustpeft audit m.onnx")
    assert introduction_from(dataclasses.asdict(met)) == met
    assert introduction_from(None) is None
    record = AuditRecord(
        Subject("m", "m", "0" * 64, 1, 4, claimed_clean=0.9),
        DataInfo("d", "test", 1, ("a", "b"), (2, 2), "0" * 64, outside=("decoded", "cropped")),
        (Measurement("clean", "clean", "clean", Rate(1, 1), ()),),
        introduction=met,
    )
    write_record(record, tmp_path)
    assert read_record(tmp_path) == record


def test_a_field_that_is_unknown_is_an_error():
    with pytest.raises(TypeError):
        introduction_from({"target": "x", "kind": "run", "findings": [], "colour": "red"})
