import dataclasses

import pytest

from robustpeft.app.comparison import compare_records
from robustpeft.errors import UserError
from robustpeft.records import Paired, holm


def test_differences_are_counted_on_the_same_images(make_record):
    one = make_record("one", clean=frozenset(), attacked=frozenset({0, 1}))
    two = make_record("two", clean=frozenset({5}), attacked=frozenset(range(1, 13)))
    found = compare_records([one, two])
    clean, worst = found.pairs
    assert (clean.condition, worst.condition) == ("left alone", "worst case, Linf 0.1")
    assert clean.counts == Paired(1, 0, 40)
    assert worst.counts == Paired(11, 1, 40)
    assert [pair.p_value for pair in found.pairs] == list(holm([clean.counts.p_value, worst.counts.p_value]))
    assert (worst.difference, clean.difference) == ("+25.0", "+2.5")
    low, high = worst.counts.interval()
    assert worst.interval == f"+{100 * low:.1f} to +{100 * high:.1f}"
    assert len(found.table.rows) == 2
    assert "one withstands every attack on 11 images that two loses" in found.sentences[0]


def test_three_models_make_three_pairs_a_condition(make_record):
    found = compare_records([make_record(name) for name in "abc"])
    assert [(p.one, p.other) for p in found.pairs[:3]] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert len(found.pairs) == 6
    assert {pair.difference for pair in found.pairs} == {"0.0"}


def test_without_rows_there_are_no_pairs(make_record):
    found = compare_records([make_record("a", rows=()), make_record("b")])
    assert found.pairs == found.sentences == ()
    assert len(found.table.rows) == 2


def test_what_must_not_be_published_is_left_out_and_said(make_record, check):
    false = make_record("false", checks=(check("integrity", "fail"),))
    found = compare_records([make_record("a"), false, make_record("b")])
    assert [row.label for row in found.table.rows] == ["a", "b"]
    assert found.withheld[0].startswith("false: no number is given")
    with pytest.raises(UserError, match="fewer than two of these records may show a number"):
        compare_records([make_record("a"), false])


def test_one_alone_and_unlike_ones_are_refused(make_record):
    record = make_record("a")
    with pytest.raises(UserError, match="choose at least two"):
        compare_records([record])
    other = make_record("b", data=dataclasses.replace(record.data, digest="e" * 64))
    with pytest.raises(UserError, match="their images"):
        compare_records([record, other])
