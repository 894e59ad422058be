import math

import pytest

from robustpeft.errors import UserError
from robustpeft.records import AuditRecord, DataInfo, Measurement, Rate, Subject, corruption_errors

DATA = DataInfo("d", "test", 100, ("a", "b"), (8, 8), "digest")


def record(label, clean, wrong, data=DATA, **settings):
    """`wrong`: kind to the errors at severities 1, 2, ..."""
    measurements = [Measurement("clean", "clean", "clean", Rate(100 - clean, 100), ())]
    for kind, counts in wrong.items():
        for severity, count in reversed(list(enumerate(counts, 1))):
            about = {"kind": kind, "severity": severity, **settings}
            measurements.append(
                Measurement(
                    f"corruption:{kind}@{severity}",
                    "perturbation",
                    "corruption",
                    Rate(100 - count, 100),
                    (),
                    about,
                    strength=severity,
                )
            )
    return AuditRecord(Subject(label, "vit", "b", 10, 40), data, tuple(measurements))


def test_errors_are_summed_over_severities_and_divided_by_the_references():
    model = record("model", 10, {"fog": (20, 40), "snow": (30, 60)})
    reference = record("reference", 4, {"fog": (40, 80), "snow": (10, 50)})
    found = corruption_errors(model, reference)
    assert found.reference == "reference"
    assert list(found.by_kind) == ["fog", "snow"]
    assert found.by_kind == pytest.approx({"fog": 0.5, "snow": 1.5})
    assert found.mean == pytest.approx(1.0)
    assert found.relative_by_kind == pytest.approx({"fog": 40 / 112, "snow": 70 / 52})
    assert found.relative_mean == pytest.approx((40 / 112 + 70 / 52) / 2)


def test_a_model_against_itself_is_one():
    model = record("model", 10, {"fog": (20, 40)})
    found = corruption_errors(model, model)
    assert (found.mean, found.relative_mean) == (1.0, 1.0)


def test_a_reference_without_errors_gives_no_finite_ratio():
    perfect = record("perfect", 0, {"fog": (0, 0), "snow": (0, 0)})
    found = corruption_errors(record("model", 0, {"fog": (0, 3), "snow": (0, 0)}), perfect)
    assert found.by_kind == {"fog": math.inf, "snow": 1.0}
    assert found.relative_by_kind == {"fog": None, "snow": None}
    assert found.relative_mean is None


def test_one_missing_ratio_leaves_no_relative_mean():
    reference = record("reference", 10, {"fog": (10, 10), "snow": (10, 30)})
    found = corruption_errors(record("model", 10, {"fog": (20, 20), "snow": (20, 20)}), reference)
    assert found.relative_by_kind == {"fog": None, "snow": 1.0}
    assert found.relative_mean is None


def test_what_cannot_be_compared_is_refused():
    model = record("model", 10, {"fog": (20, 40)})
    with pytest.raises(UserError, match="plain was not audited under common corruptions"):
        corruption_errors(record("plain", 10, {}), model)
    with pytest.raises(UserError, match="different images"):
        corruption_errors(model, record("other", 1, {"fog": (1, 2)}, DataInfo("d", "test", 100, ("a",), (8, 8), "x")))
    for other in (
        record("o", 1, {"fog": (1,)}),
        record("o", 1, {"snow": (1, 2)}),
        record("o", 1, {"fog": (1, 2)}, x=1),
    ):
        with pytest.raises(UserError, match="different corruptions or severities"):
            corruption_errors(model, other)
