import dataclasses

import pytest

from robustpeft.attacks import PGD, Square
from robustpeft.auditing import AuditPlan, Place, run_audit
from robustpeft.auditing.kept_files import pack_images
from robustpeft.auditing.siblings import read_siblings, sibling_conditions
from robustpeft.errors import UserError
from robustpeft.records import read_record, write_record

PLAN = AuditPlan(
    epsilons=(0.005, 0.02), attacks=(PGD(steps=3),), perturbations=(), images=None, gallery=0, checks="quick"
)


@pytest.fixture
def audit(make_split, make_data, subject):
    def run(model, plan, folder, label, split=None):
        split = make_split() if split is None else split
        named = dataclasses.replace(subject, label=label)
        record = run_audit(model, split, plan, subject=named, data=make_data(), place=Place(folder / "ledger"))
        record = dataclasses.replace(record, adversarial=pack_images(folder / "ledger", folder, plan.threats))
        write_record(record, folder)
        return record

    return run


def test_a_twin_falls_to_all_that_its_sibling_fell_to(audit, make_linear, tmp_path):
    one = audit(make_linear(2), PLAN, tmp_path / "one", "one")
    plan = dataclasses.replace(PLAN, siblings=(str(tmp_path / "one"),))
    two = audit(make_linear(2), plan, tmp_path / "two", "two")
    for radius in ("0.005", "0.02"):
        assert two[f"sibling@linf:{radius}"].correct == one[f"pgd@linf:{radius}"].correct
        assert two[f"pgd@linf:{radius}"].correct == one[f"pgd@linf:{radius}"].correct
    broken = one["clean"].correct.count - one["pgd@linf:0.02"].correct.count
    assert two["sibling@linf:0.02"].borrowed == {f"one ({one.seal.digest[:12]})": broken}
    assert two["pgd@linf:0.02"].forwards < one["pgd@linf:0.02"].forwards
    assert {check.key: check.verdict for check in two.checks}["verified_again"] == "pass"
    assert sum(kept.images for kept in two.adversarial) == broken
    assert read_record(tmp_path / "two") == two


def test_questions_break_nothing_alone_where_siblings_left_no_search_to_begin(audit, make_linear, tmp_path):
    audit(make_linear(2), PLAN, tmp_path / "one", "one")
    asked = dataclasses.replace(PLAN, black_box=(Square(queries=299),), siblings=(str(tmp_path / "one"),))
    record = audit(make_linear(2), asked, tmp_path / "two", "two")
    assert record["square@linf:0.02"].correct.count < record["clean"].correct.count
    assert record["pgd@linf:0.02"].borrowed
    assert {check.key: check.verdict for check in record.checks}["gradient_free"] == "pass"


def test_a_plan_without_siblings_has_the_seal_of_one_that_never_heard_of_them(audit, make_linear, tmp_path):
    record = audit(make_linear(2), PLAN, tmp_path, "alone")
    assert {"siblings", "widest"}.isdisjoint(record.seal.plan)
    assert sibling_conditions(PLAN) == ()
    assert read_siblings(PLAN) == ()


def test_a_directory_without_a_record_is_named(tmp_path):
    with pytest.raises(UserError, match="no audit record at"):
        read_siblings(dataclasses.replace(PLAN, siblings=(str(tmp_path),)))
    with pytest.raises(UserError, match="siblings has a record twice"):
        dataclasses.replace(PLAN, siblings=("a", "a"))


def test_a_record_without_a_seal_is_refused(audit, make_linear, tmp_path):
    record = audit(make_linear(2), PLAN, tmp_path, "old")
    write_record(dataclasses.replace(record, seal=None), tmp_path)
    with pytest.raises(UserError, match="made by an earlier version"):
        read_siblings(dataclasses.replace(PLAN, siblings=(str(tmp_path),)))
