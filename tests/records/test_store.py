import dataclasses
import json
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from robustpeft.errors import UserError
from robustpeft.records import (
    AuditRecord,
    Check,
    DataInfo,
    GalleryItem,
    ImageRow,
    Measurement,
    Rate,
    Subject,
    read_record,
    write_json,
    write_record,
    write_text,
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
naturals = st.integers(0, 2**63 - 1)
texts = st.text(max_size=8)
values = st.recursive(st.none() | st.booleans() | st.integers() | numbers | texts, lambda v: st.lists(v, max_size=3))
facts = st.dictionaries(texts, values, max_size=3)


subjects = st.builds(
    Subject,
    label=texts,
    backbone=texts,
    backbone_digest=texts,
    num_parameters=naturals,
    model_bytes=naturals,
    method=st.none() | facts,
    objective=st.none() | facts,
    trained_threat=st.none() | facts,
    adapter_bytes=st.none() | naturals,
    tuning=facts,
)
gallery_items = st.builds(
    GalleryItem,
    id=st.integers(-(2**63), 2**63 - 1),
    epsilon=numbers,
    confidence=numbers,
    adversarial_confidence=numbers,
    magnification=numbers,
)


@st.composite
def measurements(draw, key, rows, classes):
    hits = [row.label for row in rows if row.predictions[key] == row.label]
    labels = [row.label for row in rows]
    return Measurement(
        key=key,
        kind=draw(st.sampled_from(["clean", "attack", "perturbation"])),
        name=draw(texts),
        correct=Rate(len(hits), len(rows)),
        per_class=tuple(Rate(hits.count(c), labels.count(c)) for c in range(classes)),
        settings=draw(facts),
        threat=draw(st.none() | facts),
        strength=draw(st.none() | numbers),
        forwards=draw(naturals),
        seconds=draw(numbers),
    )


@st.composite
def records(draw):
    classes = draw(st.integers(1, 3))
    keys = draw(st.lists(texts, min_size=1, max_size=3, unique=True))
    predicted = st.integers(0, classes - 1)
    row = st.builds(
        ImageRow,
        id=st.integers(-(2**63), 2**63 - 1),
        label=predicted,
        predictions=st.fixed_dictionaries(dict.fromkeys(keys, predicted)),
    )
    rows = tuple(draw(st.lists(row, max_size=5)))
    names = tuple(draw(st.lists(texts, min_size=classes, max_size=classes)))
    return AuditRecord(
        subject=draw(subjects),
        data=DataInfo(draw(texts), draw(texts), len(rows), names, (draw(naturals), draw(naturals)), draw(texts)),
        measurements=tuple(draw(measurements(key, rows, classes)) for key in keys),
        rows=rows,
        gallery=tuple(draw(st.lists(gallery_items, max_size=2))),
        seed=draw(st.integers()),
        environment=draw(st.dictionaries(texts, texts, max_size=2)),
    )


def example(rows=4):
    """Four images of two classes; `clean` has three correct, `pgd` one."""
    predictions = [(0, 0, 1), (0, 0, 0), (1, 1, 0), (1, 0, 0)][:rows]
    return AuditRecord(
        subject=Subject("FullLoRA", "digits_vit", "abc", 100, 400, method={"name": "fulllora", "r": 8}),
        data=DataInfo("digits", "test", rows, ("zero", "one"), (16, 16), "def"),
        measurements=(
            Measurement("clean", "clean", "clean", Rate(3, 4), (Rate(2, 2), Rate(1, 2))),
            Measurement("pgd", "attack", "pgd", Rate(1, 4), (Rate(1, 2), Rate(0, 2)), strength=0.1),
        ),
        rows=tuple(ImageRow(i, label, {"clean": c, "pgd": p}) for i, (label, c, p) in enumerate(predictions)),
    )


@pytest.fixture
def written(tmp_path):
    return write_record(example(), tmp_path / "run")


def tamper(file, change):
    plain = json.loads(file.read_text())
    change(plain)
    file.write_text(json.dumps(plain))


def tamper_row(file, index, change):
    rows_file = file.with_name("audit_images.jsonl")
    rows = [json.loads(line) for line in rows_file.read_text().splitlines()]
    change(rows[index])
    rows_file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=records())
def test_what_is_written_is_what_is_read(record, tmp_path):
    file = write_record(record, tmp_path)
    assert read_record(file) == record
    assert read_record(tmp_path) == record


def test_a_record_lies_in_two_files_and_nothing_else(written):
    assert sorted(p.name for p in written.parent.iterdir()) == ["audit.json", "audit_images.jsonl"]
    assert len(written.with_name("audit_images.jsonl").read_text().splitlines()) == 4
    assert "rows" not in json.loads(written.read_text())


def test_a_record_without_its_rows_can_be_read(written):
    written.with_name("audit_images.jsonl").unlink()
    assert read_record(written) == dataclasses.replace(example(), rows=())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["measurements"][1]["correct"].update(count=4), "pgd says 4 of 4 correct, but .* says 1 of 4"),
        (lambda p: p["measurements"][0]["correct"].update(n=40), "clean says 3 of 40 correct"),
        (lambda p: p["measurements"][1]["per_class"][1].update(count=1), "class 1 of pgd says 1 of 2 correct, but"),
    ],
)
def test_a_count_that_does_not_follow_from_the_rows_is_noticed(written, change, message):
    tamper(written, change)
    with pytest.raises(UserError, match=f"audit.json: {message}"):
        read_record(written)


def test_a_row_that_was_changed_is_noticed(written):
    tamper_row(written, 0, lambda row: row["predictions"].update(pgd=0))
    with pytest.raises(UserError, match=r"pgd says 1 of 4 correct, but .* says 2 of 4; one of the two files"):
        read_record(written)


@pytest.mark.parametrize(
    "change", [lambda row: row["predictions"].update(pgd=7), lambda row: row.update(id=99)], ids=["prediction", "id"]
)
def test_a_row_that_was_changed_so_that_all_counts_still_follow_is_noticed(written, change):
    tamper_row(written, 2, change)
    with pytest.raises(UserError, match=r"audit_images\.jsonl beside it was changed since it was written"):
        read_record(written)


def test_a_row_that_was_lost_is_noticed(written):
    rows_file = written.with_name("audit_images.jsonl")
    rows_file.write_text("".join(rows_file.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(UserError, match=r"clean says 3 of 4 correct, but .* says 3 of 3"):
        read_record(written)


@pytest.mark.parametrize("version", [0, 4, "2", None])
def test_another_version_is_refused_with_both_numbers(written, version):
    tamper(written, lambda p: p.update(schema_version=version))
    with pytest.raises(UserError, match=f"has record version {version}; this version of robustpeft reads 3"):
        read_record(written)


def test_a_record_of_version_1_is_read_and_has_no_checks(written):
    tamper(
        written,
        lambda p: (p.update(schema_version=1), [p.pop(key) for key in ("checks", "seal", "adversarial", "digests")]),
    )
    assert read_record(written) == example()


def test_checks_survive_the_disk(tmp_path):
    check = Check("input_range", "Images lie in [0, 1]", "fail", "0 to 255", "divide", "integrity")
    record = dataclasses.replace(example(), checks=(check, dataclasses.replace(check, verdict="pass")))
    assert read_record(write_record(record, tmp_path)) == record


def test_a_check_with_an_unknown_verdict_is_damage(written):
    check = {"key": "k", "title": "t", "verdict": "maybe", "evidence": "e"}
    tamper(written, lambda p: p.update(checks=[check]))
    with pytest.raises(UserError, match="is damaged"):
        read_record(written)


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", '"text"', "{}", '{"schema_version"'])
def test_a_file_that_is_no_record_is_refused(written, text):
    written.write_text(text)
    with pytest.raises(UserError, match=r"audit\.json is not an audit record"):
        read_record(written)


def test_a_file_that_is_not_text_is_refused(written):
    written.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not an audit record"):
        read_record(written)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.pop("subject"),
        lambda p: p.update(subject=None),
        lambda p: p["subject"].update(unknown=1),
        lambda p: p.update(data=[]),
        lambda p: p.update(measurements=None),
        lambda p: p["measurements"].append("text"),
        lambda p: p["measurements"][0]["correct"].update(count=5),
        lambda p: p["measurements"][0].pop("per_class"),
        lambda p: p.update(gallery=[{}]),
        lambda p: p["measurements"][0].update(key="another"),
    ],
)
def test_a_record_with_damaged_fields_is_refused(written, change):
    tamper(written, change)
    with pytest.raises(UserError, match=r"audit\.json is damaged|says nothing of another"):
        read_record(written)


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"id": 1}', b'{"id": 1, "label": 0, "predictions": null}', b"\xff"])
def test_damaged_rows_are_refused(written, line):
    with written.with_name("audit_images.jsonl").open("ab") as stream:
        stream.write(line + b"\n")
    with pytest.raises(UserError, match="is damaged"):
        read_record(written)


def test_a_row_without_one_of_the_predictions_is_refused(written):
    tamper_row(written, 3, lambda row: row["predictions"].pop("pgd"))
    with pytest.raises(UserError, match="says nothing of pgd for 1 images"):
        read_record(written)


@pytest.mark.parametrize("where", ["", "missing", "missing.json"])
def test_a_place_without_a_record_is_refused(tmp_path, where):
    with pytest.raises(UserError, match=r"no audit record at .*: expected a directory with audit\.json"):
        read_record(tmp_path / where)


def test_writing_makes_the_directories_and_leaves_no_temporary_file(tmp_path):
    write_text(tmp_path / "a" / "b" / "page.html", "\u00e9\u2028\n")
    write_text(tmp_path / "a" / "b" / "page.html", "new")
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["page.html"]
    assert (tmp_path / "a" / "b" / "page.html").read_text(encoding="utf-8") == "new"


def test_a_failed_write_keeps_the_old_file_and_leaves_no_temporary_one(tmp_path):
    write_text(tmp_path / "page.html", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "page.html", "new \ud800")
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text() == "old"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_json_does_not_know_are_refused_and_the_old_record_stays(written, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(written, {"value": value})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_record(dataclasses.replace(example(), rows=(), environment={"value": value}), written.parent)
    assert read_record(written) == example()


def test_records_need_no_torch():
    code = "import sys, robustpeft.records; sys.exit(any(name in sys.modules for name in ('torch', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
