"""An audit's black boxes: how many questions they asked, of whom, and that nothing else changes the count."""

from dataclasses import replace

import pytest

from robustpeft.attacks import FGSM, PGD, HardLabel, Square
from robustpeft.auditing import AuditPlan, Place
from robustpeft.auditing.consistency import Dossier, check_consistency
from robustpeft.errors import UserError
from robustpeft.records import Rate, read_record, write_record

PLAN = AuditPlan(
    epsilons=(0.005, 0.02),
    attacks=(FGSM(), PGD(steps=3)),
    perturbations=(),
    black_box=(Square(queries=59), HardLabel(queries=80)),
    images=None,
    batch_size=16,
    checks="none",
    gallery=4,
)


@pytest.mark.parametrize("batch_size", [7, 32])
def test_a_black_box_counts_its_questions_within_the_largest_radius_alone(audit, make_linear, make_split, batch_size):
    model, split = make_linear(2), make_split(n=40)
    record = audit(model, split, replace(PLAN, batch_size=batch_size))
    square, labels = record["square@linf:0.02"], record["hard_label@linf:0.02"]
    assert (square.queries, labels.queries) == (60, 80)  # the first point of Square is a question too
    assert "square@linf:0.005" not in {m.key for m in record.measurements}
    for measurement in (square, labels):
        fell = [row for row in record.rows if row.predictions["clean"] == row.label != row.predictions[measurement.key]]
        assert fell
        assert all(1 <= row.queries[measurement.key] <= measurement.queries for row in fell)
        assert sum(measurement.key in row.queries for row in record.rows) == len(fell)
        # What it spent: the questions, and the judge's look at what broke.
        standing = measurement.correct.count * measurement.queries
        asked = sum(row.queries[measurement.key] for row in fell)
        assert measurement.forwards == standing + asked + len(fell)


def test_questions_do_not_depend_on_smaller_radii_or_other_attacks(audit, make_linear, make_split):
    """One run alone: an image that fell within a smaller radius before is asked about like any other."""
    split = make_split(n=40)
    alone = audit(make_linear(2), split, replace(PLAN, epsilons=(0.02,), attacks=(FGSM(),)))
    among = audit(make_linear(2), split)
    assert [row.queries for row in alone.rows] == [row.queries for row in among.rows]


def test_the_widest_attack_is_one_of_the_worst_case_within_the_largest_radius_alone(audit, make_linear, make_split):
    split, wide = make_split(n=40), PGD(steps=20)
    plain = audit(make_linear(2), split, replace(PLAN, attacks=(FGSM(),)))
    record = audit(make_linear(2), split, replace(PLAN, attacks=(FGSM(),), widest=(wide,)))
    assert [m.key for m in record.measurements if m.name == "pgd"] == ["pgd@linf:0.02"]
    assert record["pgd@linf:0.02"].queries is None
    alone = audit(make_linear(2), split, replace(PLAN, attacks=(wide,), epsilons=(0.02,)))
    assert record["pgd@linf:0.02"].correct == alone["pgd@linf:0.02"].correct
    assert record["pgd@linf:0.02"].correct.count < record["clean"].correct.count
    for key in ("fgsm@linf:0.02", "square@linf:0.02", "hard_label@linf:0.02"):
        assert (record[key].correct, record[key].forwards) == (plain[key].correct, plain[key].forwards)


def test_an_audit_with_a_black_box_that_was_broken_off_goes_on(audit, make_linear, make_split, tmp_path):
    class StopError(Exception):
        pass

    def stop(progress):
        if progress.key.startswith("square"):
            raise StopError

    split = make_split(n=40)
    whole = audit(make_linear(2), split)
    with pytest.raises(StopError):
        audit(make_linear(2), split, place=Place(tmp_path / "ledger"), observer=stop)
    again = audit(make_linear(2), split, place=Place(tmp_path / "ledger"))
    assert again.rows == whole.rows
    assert read_record(write_record(again, tmp_path)) == again


def test_a_part_of_the_images_is_asked_as_it_would_be_among_all(audit, make_linear, make_split, tmp_path):
    split = make_split(n=40)
    whole = audit(make_linear(2), split)
    part = audit(make_linear(2), split, replace(PLAN, black_box_images=15))
    chosen = set(split.take(15, part.seed).ids.tolist())
    for key in ("square@linf:0.02", "hard_label@linf:0.02"):
        assert {row.id for row in part.rows if key in row.predictions} == chosen
        rows = [row for row in whole.rows if row.id in chosen]
        assert part[key].correct == Rate(sum(row.predictions[key] == row.label for row in rows), 15)
        assert 0 < part[key].correct.count < 15
        assert [rate.n for rate in part[key].per_class] == split.take(15, part.seed).labels.bincount().tolist()
        assert [row.queries.get(key) for row in part.rows if row.id in chosen] == [row.queries.get(key) for row in rows]
        assert part[key].forwards < whole[key].forwards
    for key in ("clean", "fgsm@linf:0.02", "pgd@linf:0.02"):
        assert part[key].correct == whole[key].correct
        assert part[key].correct.n == 40
    write_record(part, tmp_path / "record")
    assert read_record(tmp_path / "record") == part


def of_the_ledger(record, directory):
    return next(f for f in check_consistency(Dossier(record, directory, directory / "ledger")) if f.claim == "ledger")


def test_the_sealed_part_is_the_part_that_was_asked(audit, make_linear, make_split, tmp_path):
    """Whoever leaves out another image than the sealed choice does is found, by the ledger."""
    record = audit(
        make_linear(2), make_split(n=40), replace(PLAN, black_box_images=15), place=Place(ledger=tmp_path / "ledger")
    )
    assert of_the_ledger(record, tmp_path).outcome == "confirmed"
    key = "square@linf:0.02"
    held = next(row for row in record.rows if key in row.predictions)
    rows = tuple(
        replace(row, predictions={k: v for k, v in row.predictions.items() if (k, row) != (key, held)})
        for row in record.rows
    )
    assert of_the_ledger(replace(record, rows=rows), tmp_path).outcome == "refuted"


def test_so_many_images_must_be_one_at_least():
    with pytest.raises(UserError, match="black_box_images must be at least 1, or None for all; got 0"):
        replace(PLAN, black_box_images=0)
