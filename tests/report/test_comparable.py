import dataclasses

import pytest

from robustpeft.errors import UserError
from robustpeft.report.comparable import comparable


def test_no_record_is_an_error():
    with pytest.raises(UserError, match="at least one"):
        comparable([])


@pytest.mark.parametrize(
    ("field", "value"),
    [("digest", "e" * 64), ("image_size", (32, 32)), ("classes", ("one", "zero", "two", "three"))],
)
def test_records_of_other_images_are_refused_by_name(make_record, field, value):
    with pytest.raises(UserError, match=r"LoRA: .*; full: "):
        comparable([make_record("LoRA"), make_record("full", data={field: value})])


def test_records_attacked_with_unequal_effort_are_refused(make_record):
    weak = make_record("weak")
    changed = tuple(
        dataclasses.replace(m, settings={"steps": 5, "restarts": 1}) if m.name == "pgd" else m
        for m in weak.measurements
    )
    with pytest.raises(UserError, match=r"settings of pgd@linf:0\.05 differ.*steps=20.*weak: .*steps=5"):
        comparable([make_record("strong"), dataclasses.replace(weak, measurements=changed)])


def test_repeated_labels_get_numbers(make_record):
    labels = [r.subject.label for r in comparable([make_record("a"), make_record("b"), make_record("a")])]
    assert labels == ["a (1)", "b", "a (2)"]
