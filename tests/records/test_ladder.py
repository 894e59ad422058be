import dataclasses
import json

import pytest

from robustpeft.errors import UserError
from robustpeft.records import (
    AuditRecord,
    DataInfo,
    ImageRow,
    Measurement,
    MinimalSearch,
    Rate,
    Subject,
    attacker_ladder,
    least_of,
    norm_distribution,
    query_curves,
    read_record,
    write_record,
)
from robustpeft.records.store import read_doubtful_record

N = 20
SQUARE, PGD = "square@linf:0.1", "pgd@linf:0.1"
ASKED = {2: 1, 3: 100, 4: 101, 5: 1000, 6: 1001, 7: 5000}
"""Image 0 is wrong as it is; by which question each of the others fell."""


def about(name, **fields):
    return {"kind": "attack", "name": name, "threat": {"norm": "linf", "epsilon": 0.1}, "strength": 0.1, **fields}


@pytest.fixture
def make():
    """Return a record of 20 images; `wrong` names those misclassified under each condition besides image 0."""

    def build(budget=5000, method=None, drop=(), rows=True, **fields):
        wrong = {
            "clean": set(),
            PGD: {2, 3, 8, 9},
            SQUARE: {image for image, asked in ASKED.items() if asked <= budget},
            "transfer@linf:0.1": {10},
            "gaussian_noise@0.1": {11, 12},
            "corruption:fog@3": {11, 12, 13},
            "patch_shuffle@4": set(range(1, 20)),
        }
        says = {
            "clean": {"kind": "clean", "name": "clean"},
            PGD: about("pgd", forwards=400, backwards=380, seconds=8.0),
            SQUARE: about("square", forwards=9000, seconds=50.0, queries=budget),
            "transfer@linf:0.1": about("transfer", forwards=460, backwards=400, seconds=3.0),
            "gaussian_noise@0.1": {"kind": "perturbation", "name": "gaussian_noise", "strength": 0.1},
            "corruption:fog@3": {
                "kind": "perturbation",
                "name": "corruption",
                "strength": 3.0,
                "settings": {"kind": "fog", "severity": 3},
                "forwards": N,
            },
            "patch_shuffle@4": {"kind": "perturbation", "name": "patch_shuffle", "strength": 4.0},
        }
        kept = [key for key in wrong if key not in drop]
        measured = tuple(
            Measurement(key=key, correct=Rate(N - 1 - len(wrong[key]), N), per_class=(), **says[key]) for key in kept
        )
        sizes = {0: 0.0} | {image: image / 100 for image in range(2, 12)}
        images = tuple(
            ImageRow(
                i,
                0,
                {key: int(i == 0 or i in wrong[key]) for key in kept},
                {SQUARE: ASKED[i]} if SQUARE in kept and ASKED.get(i, budget + 1) <= budget else {},
                sizes.get(i),
            )
            for i in range(N)
        )
        subject = Subject("model", "net", "0" * 64, 10, 40, method=method)
        data = DataInfo("toy", "test", N, ("one", "two"), (8, 8), "d" * 64)
        return AuditRecord(subject, data, measured, images if rows else (), **fields)

    return build


def rungs(record):
    return {rung.key: rung for rung in attacker_ladder(record)}


def test_the_rungs_count_what_they_say(make):
    found = rungs(make(method={"name": "lora"}))
    assert list(found) == ["accident", "transfer", "queries_100", "queries_1000", "queries_5000", "full_knowledge"]
    # 19 are recognised when left alone; fog is the worst accident, and a shuffled picture is none.
    counts = {
        key: (rung.correct.count, rung.correct.n, rung.turned.count, rung.turned.n) for key, rung in found.items()
    }
    assert counts == {
        "accident": (16, 20, 3, 19),
        "transfer": (18, 20, 1, 19),
        "queries_100": (17, 20, 2, 19),
        "queries_1000": (15, 20, 4, 19),
        "queries_5000": (13, 20, 6, 19),
        "full_knowledge": (10, 20, 9, 19),
    }
    assert "fog" in found["accident"].words
    assert not any(rung.missing for rung in found.values())


def test_the_first_question_counts_and_the_cost_is_exact(make):
    found = rungs(make())
    # 13 images hold, and never fall; the others cost as many questions as it took, capped.
    for budget in (100, 1000, 5000):
        asked = 13 * budget + sum(min(value, budget) for value in ASKED.values())
        assert found[f"queries_{budget}"].questions == asked
    whole = found["queries_5000"]
    assert whole.seconds == 50.0
    assert found["queries_100"].seconds == pytest.approx(50 * found["queries_100"].questions / whole.questions)
    full = found["full_knowledge"]
    assert (full.questions, full.backwards, full.seconds) == (400 + 9000 + 460, 380 + 400, 61.0)
    assert found["transfer"].questions == 19


def test_what_was_not_measured_says_how_it_can_be(make):
    everything = ("transfer@linf:0.1", SQUARE, PGD, "gaussian_noise@0.1", "corruption:fog@3", "patch_shuffle@4")
    found = rungs(make(drop=everything))
    assert all(rung.correct is None and "to measure it" in rung.missing for rung in found.values())
    assert "--profile standard" in found["queries_1000"].missing
    assert "no adapter" in found["transfer"].missing
    few = rungs(make(budget=1000))
    assert few["queries_1000"].correct is not None
    assert "gave up after 1,000" in few["queries_5000"].missing


def test_without_rows_counts_are_those_of_single_conditions(make):
    found = rungs(make(rows=False))
    assert found["full_knowledge"].correct == Rate(13, 20)
    assert found["full_knowledge"].turned is None
    assert found["queries_100"].correct is None


def test_smaller_radii_count_and_larger_and_other_ones_do_not(make):
    record = make()
    inner = Measurement("x", "attack", "apgd", Rate(18, N), (), threat={"norm": "linf", "epsilon": 0.05}, strength=0.05)
    other = Measurement("y", "attack", "apgd", Rate(0, N), (), threat={"norm": "l2", "epsilon": 9.0}, strength=9.0)
    rows = tuple(
        dataclasses.replace(row, predictions=row.predictions | {"x": int(row.id in (0, 15)), "y": 1})
        for row in record.rows
    )
    wider = dataclasses.replace(record, measurements=(*record.measurements, inner, other), rows=rows)
    rung = rungs(wider)["full_knowledge"]
    assert rung.correct.count == 9
    assert "x" in rung.what
    assert "y" not in rung.what


def test_the_curve_steps_down_at_the_question_that_broke_an_image(make):
    (curve,) = query_curves(make())
    assert curve.points[0] == (0, Rate(19, 20))
    assert [asked for asked, _ in curve.points[1:]] == sorted(ASKED.values())
    assert curve.after(99) == Rate(18, 20)
    assert curve.after(100) == Rate(17, 20)
    assert curve.after(5001) is None
    assert query_curves(make(rows=False)) == ()


def test_two_images_that_fall_by_one_question_are_one_step(make):
    record = make()
    rows = tuple(dataclasses.replace(r, queries={SQUARE: 7} if r.queries else {}) for r in record.rows)
    (curve,) = query_curves(dataclasses.replace(record, rows=rows))
    assert curve.points == ((0, Rate(19, 20)), (7, Rate(13, 20)))


def test_the_distribution_of_smallest_perturbations(make):
    assert norm_distribution(make()) is None
    found = norm_distribution(make(minimal=MinimalSearch("linf", "fmn")))
    assert found.points[0] == (0.0, Rate(1, 20))
    assert found.points[-1] == (0.11, Rate(11, 20))
    assert found.median == pytest.approx(0.10)
    assert all(a[0] < b[0] and a[1].count < b[1].count for a, b in zip(found.points, found.points[1:], strict=False))


def test_the_ladder_is_in_the_json_and_is_made_anew_when_read(make, tmp_path):
    record = make(minimal=MinimalSearch("linf", "fmn", {"steps": 100}, 5, 4, 0.5))
    file = write_record(record, tmp_path)
    plain = json.loads(file.read_text())
    assert [rung["key"] for rung in plain["ladder"]] == [rung.key for rung in attacker_ladder(record)]
    assert plain["ladder"][2]["correct"] == {"count": 17, "n": 20}
    plain["ladder"] = []
    file.write_text(json.dumps(plain))
    with pytest.raises(UserError, match="changed since it was written"):
        read_record(file)
    again, _ = read_doubtful_record(file)
    assert again == record
    assert attacker_ladder(again) == attacker_ladder(record)


def test_nobody_is_told_that_anything_is_out_of_reach(make):
    text = json.dumps(
        [dataclasses.asdict(rung) for record in (make(), make(budget=50)) for rung in attacker_ladder(record)]
    )
    assert "safe" not in text.lower()


def test_queries_alone_are_no_full_knowledge(make):
    record = make(drop=(PGD,))
    counted = tuple(
        dataclasses.replace(m, settings={"queries": 5000}) if m.key == SQUARE else m for m in record.measurements
    )
    rung = attacker_ladder(dataclasses.replace(record, measurements=counted))[-1]
    assert rung.key == "full_knowledge"
    assert rung.correct is None
    assert rung.missing.startswith("nothing but queries was tried")
    assert attacker_ladder(make())[-1].correct is not None


def test_questions_put_about_a_part_have_an_n_of_their_own_and_leave_the_worst_case_whole(make):
    """Of images 0 to 9 alone: number 0 is wrong as it is, 2 to 7 fell."""
    record = make()
    rows = tuple(
        dataclasses.replace(row, predictions={k: v for k, v in row.predictions.items() if k != SQUARE or row.id < 10})
        for row in record.rows
    )
    part = dataclasses.replace(record, rows=rows)
    hundred, thousand, all_questions = (rungs(part)[f"queries_{budget}"] for budget in (100, 1000, 5000))
    assert (hundred.correct, hundred.turned) == (Rate(7, 10), Rate(2, 9))
    assert (thousand.correct, all_questions.correct) == (Rate(5, 10), Rate(3, 10))
    assert all_questions.questions == sum(ASKED.values()) + 3 * 5000
    assert rungs(part)["full_knowledge"].correct == rungs(record)["full_knowledge"].correct


def test_the_smallest_count_is_not_that_of_a_part(make):
    record = make(rows=False)
    measured = [dataclasses.replace(m, correct=Rate(1, 5)) if m.key == SQUARE else m for m in record.measurements]
    assert least_of(measured) == min((m.correct for m in measured if m.key != SQUARE), key=lambda rate: rate.count)
    assert dataclasses.replace(record, measurements=tuple(measured)).worst_attack.key == PGD
    assert least_of([m for m in measured if m.key == SQUARE]) == Rate(1, 5)


def test_only_searches_that_count_questions_may_leave_images_out(make, tmp_path):
    record = make()
    for key in ("clean", PGD):
        kept = {k: v for k, v in record.rows[0].predictions.items() if k != key}
        rows = (dataclasses.replace(record.rows[0], predictions=kept), *record.rows[1:])
        write_record(dataclasses.replace(record, rows=rows), tmp_path / key)
        with pytest.raises(UserError, match=f"says nothing of {key} for 1 images"):
            read_record(tmp_path / key)
