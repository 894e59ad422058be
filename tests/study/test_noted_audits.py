import dataclasses
import json
import shutil

import pytest

from robustpeft.errors import UserError
from robustpeft.records import read_record, write_record
from robustpeft.study.noted_audits import audit_summary, noted_audits


@pytest.fixture
def there(audited_run, tmp_path):
    return shutil.copytree(audited_run, tmp_path / "run")


@pytest.fixture
def said(there):
    return json.loads((there / "robustpeft.json").read_text())


def test_the_record_that_was_noted_is_found_wherever_it_lies_in_the_run(there, said):
    record = read_record(there / "audit" / "fulllora")
    assert noted_audits(there, said) == [record]
    shutil.move(there / "audit" / "fulllora", there / "elsewhere")
    assert noted_audits(there, said) == [record]


@pytest.mark.parametrize(
    "change",
    [
        lambda r: dataclasses.replace(r, created="2020-01-01T00:00:00Z"),
        lambda r: dataclasses.replace(r, data=dataclasses.replace(r.data, digest="0" * 64)),
        lambda r: dataclasses.replace(r, data=dataclasses.replace(r.data, name="other")),
        lambda r: dataclasses.replace(r, subject=dataclasses.replace(r.subject, backbone_digest="0" * 64)),
        lambda r: dataclasses.replace(r, subject=dataclasses.replace(r.subject, method={"name": "lora", "r": 8})),
        lambda r: dataclasses.replace(r, measurements=r.measurements[:2]),
    ],
    ids=["time", "images", "data", "backbone", "technique", "counts"],
)
def test_a_record_that_differs_is_not_vouched_for(there, said, change):
    folder = there / "audit" / "fulllora"
    changed = change(read_record(folder))
    write_record(changed, folder)
    assert noted_audits(there, said) == []
    with pytest.raises(UserError, match="is not an audit that"):
        noted_audits(there, said, [folder])


def test_a_damaged_record_in_the_run_is_passed_over_and_one_that_was_named_is_not(there, said, caplog):
    file = there / "audit" / "fulllora" / "audit.json"
    file.write_text("{")
    assert noted_audits(there, said) == []
    assert "is not an audit record" in caplog.text
    with pytest.raises(UserError, match="is not an audit record"):
        noted_audits(there, said, [file])


def test_a_summary_is_plain(there):
    summary = audit_summary(read_record(there / "audit" / "fulllora"))
    assert json.loads(json.dumps(summary)) == summary
    assert summary["n"] == 40
