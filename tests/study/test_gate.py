"""Records whose intervals are known, on both sides of every demand."""

import dataclasses
import hashlib
from array import array
from datetime import UTC, datetime, timedelta

import pytest

from robustpeft.errors import UserError
from robustpeft.records import AuditRecord, Check, DataInfo, ImageRow, Measurement, Paired, Rate, Subject, write_record
from robustpeft.study.gate import gate
from robustpeft.study.policy import AtThreat, Drop, Policy

NOW = datetime(2030, 1, 31, tzinfo=UTC)
N = 200
THREATS = {"pgd@linf:0.01": ("linf", 0.01), "pgd@linf:0.03": ("linf", 0.03)}
PERTURBED = {"patch_drop@0.3": ("patch_drop", 0.3), "patch_drop@0.7": ("patch_drop", 0.7)}
CORRECT = {
    "clean": 190, "pgd@linf:0.01": 150, "pgd@linf:0.03": 100, "patch_drop@0.3": 180, "patch_drop@0.7": 120,
}  # fmt: skip


def check(key="more_steps", verdict="pass", group="strength"):
    return Check(key, "It holds", verdict, "as was seen", "", group)


HOLDS = (check(),)


def make(correct=CORRECT, classes=2, digest="d", checks=HOLDS, **changes):
    """Return a record in which the first images of the split are those that are correct, two classes in turn."""
    rows = tuple(
        ImageRow(i, i % 2, {key: i % 2 if i < right else 1 - i % 2 for key, right in correct.items()}) for i in range(N)
    )
    measurements = []
    for key, right in correct.items():
        per_class = tuple(
            Rate(sum(i % 2 == label for i in range(right)), sum(i % 2 == label for i in range(N)))
            for label in range(classes)
        )
        norm, epsilon = THREATS.get(key, (None, None))
        name, strength = PERTURBED.get(key, (key.partition("@")[0], epsilon))
        kind = "clean" if key == "clean" else "attack" if norm else "perturbation"
        threat = {"norm": norm, "epsilon": epsilon} if norm else None
        measurements.append(Measurement(key, kind, name, Rate(right, N), per_class, {}, threat, strength))
    record = AuditRecord(
        Subject("LoRA", "vit", "0" * 64, 10, 40),
        DataInfo("photos", "test", N, ("cat", "dog", "cow")[:classes], (8, 8), digest),
        tuple(measurements),
        rows,
        created=(NOW - timedelta(days=10)).isoformat(),
        checks=tuple(checks),
    )
    return dataclasses.replace(record, **changes)


@pytest.fixture
def judge(tmp_path):
    def judge(policy, record=None):
        write_record(record or make(), tmp_path / "record")
        return gate(tmp_path / "record", policy, now=NOW)

    return judge


def low(count, n=N):
    return Rate(count, n).interval()[0]


ON_BOTH_SIDES = {
    "clean": lambda share: Policy(clean_accuracy=share),
    "clean of the worst class": lambda share: Policy(worst_class_clean_accuracy=share),
    "robust": lambda share: Policy(robust_accuracy=(AtThreat(share, 0.03),)),
    "robust at the smaller radius": lambda share: Policy(robust_accuracy=(AtThreat(share, 0.01),)),
    "robust of the worst class": lambda share: Policy(worst_class_robust_accuracy=(AtThreat(share, 0.03),)),
}
LOWEST = {
    "clean": low(190),
    "clean of the worst class": low(95, 100),
    "robust": low(100),
    "robust at the smaller radius": low(150),
    "robust of the worst class": low(50, 100),
}


@pytest.mark.parametrize("demand", ON_BOTH_SIDES)
def test_a_least_share_is_held_against_the_lower_end_of_the_interval(judge, demand):
    policy = ON_BOTH_SIDES[demand]
    assert judge(policy(LOWEST[demand] - 1e-9)).judgement == "pass"
    assert judge(policy(LOWEST[demand] + 1e-9)).judgement == "fail"


def test_the_share_itself_is_not_enough(judge):
    assert judge(Policy(clean_accuracy=0.95)).judgement == "fail"  # 190 of 200 are 0.95


def test_a_radius_between_two_is_judged_by_the_larger(judge):
    found = judge(Policy(robust_accuracy=(AtThreat(low(100) - 1e-9, 0.02),)))
    assert found.judgement == "pass"
    assert "judged by" in found.demands[0].found


def with_widest(right):
    """Return the record with an attack more, within the larger radius alone, that leaves so many images right."""
    record = make()
    rows = tuple(
        dataclasses.replace(
            row, predictions=row.predictions | {"aa@linf:0.03": row.label if row.id < right else 1 - row.label}
        )
        for row in record.rows
    )
    wide = dataclasses.replace(record["pgd@linf:0.03"], key="aa@linf:0.03", name="autoattack", correct=Rate(right, N))
    wide = dataclasses.replace(wide, per_class=(Rate(right // 2, N // 2),) * 2)
    return dataclasses.replace(record, rows=rows, measurements=(*record.measurements, wide))


@pytest.mark.parametrize(
    ("share", "right", "judgement"),
    [(0.5, 60, "unknown"), (0.2, 60, "pass"), (0.9, 60, "fail"), (0.5, 160, "unknown"), (0.4, 160, "pass")],
)
def test_a_smaller_radius_is_not_vouched_for_by_an_attack_that_did_not_look_there(judge, share, right, judgement):
    found = judge(Policy(robust_accuracy=(AtThreat(share, 0.01),)), with_widest(right))
    assert found.judgement == judgement
    said = "30.0 %" in found.demands[0].found and "where alone autoattack looked" in found.demands[0].found.lower()
    assert said == (judgement == "unknown" and right == 60)


@pytest.mark.parametrize("asked", [AtThreat(0.1, 0.031), AtThreat(0.1, 0.01, "l2")])
def test_a_threat_that_was_not_tried_cannot_be_judged(judge, asked):
    assert judge(Policy(robust_accuracy=(asked,))).judgement == "unknown"
    assert judge(Policy(worst_class_robust_accuracy=(asked,))).judgement == "unknown"


def test_all_attacks_count_together(judge):
    """Two attacks that break different images: each leaves 100, both together none."""
    record = make({"clean": N, "pgd@linf:0.03": 100})
    other = tuple(
        dataclasses.replace(
            row, predictions=row.predictions | {"apgd@linf:0.03": row.label if row.id >= 100 else 1 - row.label}
        )
        for row in record.rows
    )
    twin = dataclasses.replace(record["pgd@linf:0.03"], key="apgd@linf:0.03", name="apgd")
    record = dataclasses.replace(record, rows=other, measurements=(*record.measurements, twin))
    assert "0 of 200" in judge(Policy(robust_accuracy=(AtThreat(0.1, 0.03),)), record).demands[0].found


@pytest.mark.parametrize("group", ["model", "strength"])
def test_an_upper_bound_shows_no_least_share_unless_the_check_is_waived(judge, group):
    record = make(checks=[check(verdict="fail", group=group)])
    policy = Policy(robust_accuracy=(AtThreat(0.2, 0.03),))
    assert judge(policy, record).judgement == "unknown"
    assert "more_steps" in judge(policy, record).demands[0].found
    assert judge(dataclasses.replace(policy, robust_accuracy=(AtThreat(0.9, 0.03),)), record).judgement == "fail"
    waiving = judge(dataclasses.replace(policy, waive={"more_steps": "see ticket 12"}), record)
    assert waiving.judgement == "pass"
    assert (waiving.demands[-1].judgement, "see ticket 12" in waiving.demands[-1].found) == ("waived", True)


def test_a_refused_audit_never_passes(judge):
    record = make(checks=[check("input_range", "fail", "integrity")])
    for policy in (Policy(images=1), Policy(checks=("statistics",)), Policy(sealed=True)):
        found = judge(policy, record)
        assert found.judgement == "fail"
        assert "no number is given" in found.demands[0].found


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Policy(images=1, waive={"input_range": "because"}), "a check of integrity cannot be waived"),
        (Policy(images=1, waive={"more_step": "because"}), "no check 'more_step'; did you mean 'more_steps'?"),
        (Policy(checks=("strenght",)), "no check 'strenght'; did you mean 'strength'?"),
    ],
)
def test_checks_must_be_named_right(judge, policy, message):
    with pytest.raises(UserError, match=message):
        judge(policy)


@pytest.mark.parametrize(
    ("verdict", "by_name", "by_group"),
    [
        ("pass", "pass", "pass"),
        ("warn", "fail", "pass"),
        ("fail", "fail", "fail"),
        ("not_applicable", "unknown", "pass"),
    ],
)
def test_a_check_by_name_must_pass_and_of_a_group_none_may_fail(judge, verdict, by_name, by_group):
    record = make(checks=[check(verdict=verdict)])
    assert judge(Policy(checks=("more_steps",)), record).judgement == by_name
    assert judge(Policy(checks=("strength",)), record).judgement == by_group


def test_checks_that_were_not_made_are_not_known(judge):
    assert judge(Policy(checks=("more_starts",))).judgement == "unknown"
    assert judge(Policy(checks=("integrity",))).judgement == "unknown"
    assert judge(Policy(checks=("strength",)), make(checks=())).judgement == "unknown"


def test_a_waived_check_is_shown_with_its_reason_whatever_came_of_it(judge):
    for verdict, word in {"fail": "fails", "pass": "holds", "warn": "in doubt"}.items():
        policy = Policy(checks=("more_steps", "strength"), waive={"more_steps": "see ticket 12"})
        found = judge(policy, make(checks=[check(verdict=verdict)]))
        assert found.judgement == "pass"
        assert found.demands[-1].found == f"{word}; waived because: see ticket 12"


def test_a_drop_is_paired_and_judged_at_its_upper_end(judge):
    high = Paired(10, 0, N).interval()[1]  # 190 clean, 180 of the same perturbed
    assert judge(Policy(drop=(Drop("patch_drop", high + 1e-9, 0.3),))).judgement == "pass"
    assert judge(Policy(drop=(Drop("patch_drop", high - 1e-9, 0.3),))).judgement == "fail"
    assert judge(Policy(drop=(Drop("patch_drop@0.3", high + 1e-9),))).judgement == "pass"
    whole = judge(Policy(drop=(Drop("patch_drop", high + 1e-9),)))
    assert whole.judgement == "fail"
    assert "patch_drop@0.7, worst of 2" in whole.demands[0].found
    assert judge(Policy(drop=(Drop("patch_drop", 0.9, 0.5),))).judgement == "unknown"
    assert judge(Policy(drop=(Drop("fog", 0.9),))).judgement == "unknown"


@pytest.mark.parametrize(
    ("reference", "judgement"),
    [
        (make(CORRECT | {"clean": 194}), "pass"),
        (make(CORRECT | {"clean": 200}), "fail"),
        (make(CORRECT | {"clean": 194}, digest="other"), "unknown"),
        (make(checks=[check("input_range", "fail", "integrity")]), "unknown"),
        (make(rows=()), "unknown"),
    ],
    ids=["cheap", "dear", "other images", "refused", "without rows"],
)
def test_the_price_is_paired_with_a_reference_beside_the_policy(tmp_path, reference, judgement):
    write_record(make(), tmp_path / "record")
    write_record(reference, tmp_path / "policies" / "before")
    policy = tmp_path / "policies" / "policy.yaml"
    policy.write_text("price: {at_most: 0.05, reference: before}")
    assert gate(tmp_path / "record", policy, now=NOW).judgement == judgement


def test_number_of_images_and_age(judge):
    assert judge(Policy(images=N)).judgement == "pass"
    assert judge(Policy(images=N + 1)).judgement == "fail"
    assert judge(Policy(max_age_days=10.1)).judgement == "pass"
    assert judge(Policy(max_age_days=9.9)).judgement == "fail"
    assert judge(Policy(max_age_days=9.9), make(created="")).judgement == "unknown"
    assert judge(Policy(max_age_days=9.9), make(created="2031-01-01T00:00:00+00:00")).judgement == "unknown"


def test_a_record_without_a_seal_cannot_show_one(judge):
    ids_and_labels = array("q", [*range(N), *(i % 2 for i in range(N))]).tobytes()
    found = judge(Policy(sealed=True), make(digest=hashlib.sha256(ids_and_labels).hexdigest()))
    assert found.judgement == "unknown"
    assert "seal: the record has none" in found.demands[0].found
    assert judge(Policy(sealed=True), make(digest="another")).judgement == "fail"


def test_a_class_without_images_is_not_known(judge):
    assert judge(Policy(worst_class_clean_accuracy=0.1), make(classes=3)).judgement == "unknown"
    assert judge(Policy(worst_class_robust_accuracy=(AtThreat(0.1, 0.03),)), make(classes=3)).judgement == "unknown"


def test_without_rows_nothing_paired_is_known(judge):
    record = make(rows=())
    asked = (AtThreat(0.1, 0.03),)
    for policy in (Policy(robust_accuracy=asked), Policy(drop=(Drop("patch_drop", 0.9),))):
        assert judge(policy, record).judgement == "unknown"
    assert judge(Policy(clean_accuracy=0.5), record).judgement == "pass"


def test_a_record_that_was_changed_is_not_judged(tmp_path):
    file = write_record(make(checks=[check(verdict="fail")]), tmp_path)
    file.write_text(file.read_text().replace('"verdict": "fail"', '"verdict": "pass"'))
    with pytest.raises(UserError, match="was changed since it was written"):
        gate(tmp_path, Policy(images=1))


def test_queries_alone_cannot_show_a_least_share_unless_that_is_waived(judge):
    record = make()
    asked = tuple(
        dataclasses.replace(m, settings={"queries": 9}) if m.kind == "attack" else m for m in record.measurements
    )
    record = dataclasses.replace(record, measurements=asked)
    least = (AtThreat(0.4, 0.03),)
    assert judge(Policy(robust_accuracy=least)).judgement == "pass"
    found = judge(Policy(robust_accuracy=least), record)
    assert found.judgement == "unknown"
    assert "queries alone" in found.demands[0].found
    waived = Policy(robust_accuracy=least, waive={"gradient_present": "served by queries only"})
    assert judge(waived, record).judgement == "pass"
    assert judge(Policy(robust_accuracy=(AtThreat(0.6, 0.03),)), record).judgement == "fail"
