"""An audit's black boxes: how many questions they asked, of whom, and that nothing else changes the count."""

from dataclasses import replace

import pytest

from robustpeft.attacks import FGSM, PGD, HardLabel, Square
from robustpeft.auditing import AuditPlan, Place
from robustpeft.auditing.consistency import Dossier, check_consistency
from robustpeft.auditing.ledger_consistency import check_rows_against, read_whole_ledger
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


PART = replace(PLAN, black_box_images=15)
KEY = "square@linf:0.02"


@pytest.fixture
def asked(audit, make_linear, make_split, tmp_path):
    """Return an audit of 40 images, of which 15 were asked about; its ledger lies in `tmp_path`."""
    return audit(make_linear(2), make_split(n=40), PART, place=Place(ledger=tmp_path / "ledger"))


def say(record, directory, ledger="ledger"):
    return {f.claim: f for f in check_consistency(Dossier(record, directory, directory / ledger))}


def without(record, key, unless):
    """Return the record with this key taken from the rows that it speaks against, and the count that is left."""
    rows = tuple(
        row if unless(row) else replace(row, predictions={k: v for k, v in row.predictions.items() if k != key})
        for row in record.rows
    )
    left = [row for row in rows if key in row.predictions]
    count = Rate(sum(row.stands(key) for row in left), len(left))
    measured = tuple(replace(m, correct=count, per_class=()) if m.key == key else m for m in record.measurements)
    return replace(record, rows=rows, measurements=measured)


def test_honest_records_of_a_part_are_confirmed(asked, tmp_path):
    assert {claim: found.outcome for claim, found in say(asked, tmp_path).items()} == dict.fromkeys(
        ("files", "seal", "plan", "rows", "ledger"), "confirmed"
    )


def test_whoever_hides_what_broke_is_found_out_without_the_ledger(asked, tmp_path):
    hidden = without(asked, KEY, unless=lambda row: row.stands(KEY))
    assert hidden[KEY].correct.fraction == 1
    assert say(hidden, tmp_path)["ledger"].outcome == "refuted"
    found = say(hidden, tmp_path, "nowhere")["rows"]
    assert found.outcome == "refuted"
    assert set(found.images) == {row.id for row in asked.rows if not row.stands(KEY)}


def test_other_searches_cannot_be_made_to_count_questions(asked, tmp_path):
    key = "pgd@linf:0.02"
    measured = tuple(replace(m, queries=7) if m.key == key else m for m in asked.measurements)
    forged = without(replace(asked, measurements=measured), key, unless=lambda row: row.stands(key))
    found = say(forged, tmp_path, "nowhere")
    assert (found["plan"].outcome, found["rows"].outcome) == ("refuted", "refuted")
    clean = tuple(replace(m, queries=7) if m.key == "clean" else m for m in asked.measurements)
    forged = without(replace(asked, measurements=clean), "clean", unless=lambda row: row.stands("clean"))
    write_record(forged, tmp_path / "record")
    with pytest.raises(UserError, match="says nothing of clean"):
        read_record(tmp_path / "record")


@pytest.mark.parametrize("label", [-1, 10**13])
def test_labels_of_no_class_are_refuted_and_break_nothing(asked, tmp_path, label):
    rows = (replace(asked.rows[0], label=label), *asked.rows[1:])
    found = say(replace(asked, rows=rows), tmp_path)
    assert (found["rows"].outcome, found["ledger"].outcome) == ("refuted", "refuted")


def test_a_ledger_about_images_that_were_to_be_spared_is_refuted(asked, tmp_path):
    rows = read_whole_ledger(tmp_path / "ledger")[1]
    assert check_rows_against(asked, PART, rows).outcome == "confirmed"
    held = {row.id for row in asked.rows} - {row.id for row in asked.rows if KEY in row.predictions}
    entry = next(row for row in rows if "square" in row.stage)
    forged = check_rows_against(asked, PART, [*rows, replace(entry, image=min(held), broken=False)])
    assert (forged.outcome, forged.images) == ("refuted", (min(held),))


def test_progress_speaks_of_those_who_were_asked(audit, make_linear, make_split):
    told = []
    record = audit(make_linear(2), make_split(n=40), PART, observer=told.append)
    for key in (KEY, "hard_label@linf:0.02"):
        seen = [now for now in told if now.key == key]
        assert {now.images for now in seen} == {15}
        assert (seen[-1].images_done, seen[-1].accuracy) == (15, record[key].correct.fraction)
        assert all(0 <= now.accuracy <= 1 for now in seen)


def test_so_many_images_must_be_one_at_least():
    with pytest.raises(UserError, match="black_box_images must be at least 1, or None for all; got 0"):
        replace(PLAN, black_box_images=0)
    with pytest.raises(UserError, match="without attacks nothing is tried on those"):
        replace(PART, attacks=())
