import dataclasses

import pytest

from robustpeft.records import (
    AuditRecord,
    DataInfo,
    ImageRow,
    Measurement,
    Rate,
    Subject,
    at_every_radius,
    robust_curves,
)


def attacked(key, norm, epsilon):
    return Measurement(key, "attack", key, Rate(0, 4), (), threat={"norm": norm, "epsilon": epsilon}, strength=epsilon)


def record(rows, *attacks):
    clean = Measurement("clean", "clean", "clean", Rate(0, 4), ())
    data = DataInfo("d", "test", 4, ("a", "b"), (8, 8), "digest")
    found = tuple(ImageRow(i, 1, dict(zip(("clean", *(a.key for a in attacks)), p, strict=True))) for i, p in rows)
    return AuditRecord(Subject("model", "vit", "b", 10, 40), data, (clean, *attacks), found)


def test_an_image_stays_broken_at_larger_radii_and_counts_for_the_worst_attack():
    attacks = attacked("b", "linf", 0.2), attacked("a", "linf", 0.1), attacked("c", "linf", 0.2)
    rows = enumerate([(1, 1, 1, 1), (1, 1, 0, 1), (1, 0, 1, 1), (1, 1, 1, 1), (0, 1, 1, 1)])
    (found,) = robust_curves(record(rows, *attacks))
    assert found.norm == "linf"
    assert found.points == ((0.0, Rate(4, 5)), (0.1, Rate(3, 5)), (0.2, Rate(2, 5)))


def test_the_area_is_the_trapezoids_over_the_largest_radius():
    attacks = attacked("a", "linf", 0.1), attacked("b", "linf", 0.4)
    (found,) = robust_curves(record(enumerate([(1, 1, 0), (1, 0, 0), (1, 1, 1), (0, 0, 0)]), *attacks))
    # 0.75, 0.5, 0.25 at 0, 0.1, 0.4
    assert found.area == pytest.approx((0.1 * 0.625 + 0.3 * 0.375) / 0.4)


def test_every_norm_has_its_own_curve():
    attacks = attacked("a", "l2", 0.5), attacked("b", "linf", 0.1)
    found = robust_curves(record(enumerate([(1, 0, 1), (1, 1, 1)]), *attacks))
    assert [(curve.norm, curve.points[-1]) for curve in found] == [
        ("l2", (0.5, Rate(1, 2))),
        ("linf", (0.1, Rate(2, 2))),
    ]


def test_an_attack_of_one_radius_among_several_is_no_part_of_the_curve():
    small, large = attacked("a1", "linf", 0.1), attacked("a2", "linf", 0.2)
    twice = tuple(dataclasses.replace(m, name="pgd", settings={"steps": 3}) for m in (small, large))
    harder = dataclasses.replace(attacked("b", "linf", 0.2), name="pgd", settings={"steps": 9})
    asked = dataclasses.replace(attacked("q1", "linf", 0.2), queries=5)
    found = record(enumerate([(1, 1, 1, 0, 0), (1, 1, 0, 1, 1)]), *twice, harder, asked)
    assert at_every_radius(found) == {"a1", "a2"}
    (curve,) = robust_curves(found)
    assert curve.points == ((0.0, Rate(2, 2)), (0.1, Rate(2, 2)), (0.2, Rate(1, 2)))
    alone = record(enumerate([(1, 1, 0)]), large, asked)
    assert at_every_radius(alone) == {"a2"}  # at the only radius there is


def test_without_rows_or_attacks_there_is_no_curve():
    assert robust_curves(record([], attacked("a", "l2", 0.5))) == ()
    assert robust_curves(record(enumerate([(1,)]))) == ()
