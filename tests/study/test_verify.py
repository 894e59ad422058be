"""A record that holds is confirmed with its model and data, and with no other; see test_verify_forged."""

import dataclasses

import pytest
import torch

from robustpeft.attacks import FGSM, PGD, Square
from robustpeft.auditing import AuditPlan
from robustpeft.backbones import Backbone
from robustpeft.data.image_store import InMemory
from robustpeft.data.split import Split
from robustpeft.errors import UserError
from robustpeft.records import read_record
from robustpeft.study import audit, load, verify, verify_run
from robustpeft.study.undefended import undefend


def outcomes(verification):
    return {finding.claim: finding.outcome for finding in verification.findings}


def test_an_honest_record_is_confirmed_in_all_its_claims(audited, run, digits):
    found = verify(audited, run.path, digits)
    assert found.outcome == "confirmed"
    assert [f.claim for f in found.findings] == [
        "files", "seal", "plan", "rows", "ledger", "kept images", "model", "data", "clean",
        "fgsm@linf:0.01", "fgsm@linf:0.03", "pgd@linf:0.01", "pgd@linf:0.03", "transfer@linf:0.03",
        "gaussian_noise@0.1", "pixel_drop@0.3",
    ]  # fmt: skip
    count = read_record(audited)["pgd@linf:0.03"].correct.count
    assert next(f for f in found.findings if f.claim == "pgd@linf:0.03").says == f"at most {count} of 40 correct"


def test_models_in_memory_and_runs_do_as_well(audited, run, digits):
    assert verify(audited, load(run.path), digits).outcome == "confirmed"
    assert verify(audited / "audit.json", run, digits, perturbations=False).outcome == "confirmed"


def test_what_only_the_public_network_broke_is_kept_and_confirmed(run, digits, tmp_path, plan_of_audited):
    idle = PGD(steps=1, step_size=1e-6, random_start=False)
    plan = dataclasses.replace(plan_of_audited, epsilons=(0.1,), attacks=(idle,), perturbations=())
    record = audit(load(run.path), digits, plan=plan, output=tmp_path)
    fell = record["clean"].correct.count - record["transfer@linf:0.1"].correct.count
    assert sum(kept.images for kept in record.adversarial) >= fell > 0
    found = verify(tmp_path, run.path, digits)
    assert found.outcome == "confirmed"
    ledger = next(f for f in found.findings if f.claim == "ledger")
    assert ledger.says.endswith("all predictions under attack but transfer@linf:0.1 follow")


@pytest.mark.parametrize("attacks", [(FGSM(), PGD(steps=3)), ()], ids=["beside gradients", "alone"])
def test_black_boxes_are_in_the_ledger_and_confirmed(attacks, run, digits, tmp_path, plan_of_audited):
    plan = dataclasses.replace(plan_of_audited, epsilons=(0.03, 0.1), attacks=attacks, black_box=(Square(queries=30),))
    record = audit(load(run.path), digits, plan=plan, output=tmp_path)
    assert record["square@linf:0.1"].correct.count < record["clean"].correct.count
    assert verify(tmp_path, run.path, digits).outcome == "confirmed"


def test_without_a_model_only_the_files_are_compared(audited):
    found = outcomes(verify(audited))
    assert {key: outcome for key, outcome in found.items() if outcome == "confirmed"}.keys() == {
        "files", "seal", "plan", "rows", "ledger", "kept images",
    }  # fmt: skip
    assert found["clean"] == found["pgd@linf:0.03"] == "unchecked"
    assert verify(audited).outcome == "unchecked"


def test_no_attack_is_run(audited, run, digits, monkeypatch):
    monkeypatch.setattr("robustpeft.attacks.driver.Driver.run", lambda *_: pytest.fail("an attack was run"))
    model, backwards = load(run.path), []
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_hook(backwards.append)
    assert verify(audited, model, digits).outcome == "confirmed"
    assert not backwards


def test_a_ledger_that_was_compacted_is_enough(copied, run, digits):
    next((copied / "ledger").glob("segment-*.jsonl")).unlink()
    assert verify(copied, run.path, digits).outcome == "confirmed"


@pytest.mark.parametrize("size", [1e-6, 0.5])
def test_another_model_is_noticed(audited, run, digits, size):
    model = load(run.path)
    with torch.no_grad():
        next(model.parameters()).add_(size)
    found = verify(audited, model, digits)
    assert outcomes(found)["model"] == "refuted"
    assert found.outcome == "refuted"


def with_pixels(digits, change):
    test = digits.test
    pixels = torch.stack([test[place] for place in range(len(test))])
    store = InMemory(change(pixels))
    return dataclasses.replace(digits, test=Split(store, torch.arange(len(test)), test.labels, test.ids))


def turn_one_value(pixels):
    pixels[0, 0, 0, 0] ^= 1
    return pixels


OTHER_DATA = {
    "one value of one pixel": lambda d: with_pixels(d, turn_one_value),
    "labels": lambda d: dataclasses.replace(d, test=dataclasses.replace(d.test, labels=(d.test.labels + 1) % 10)),
    "other images": lambda d: dataclasses.replace(d, test=d.validation),
    "class names": lambda d: dataclasses.replace(d, classes=tuple("abcdefghij")),
}


@pytest.mark.parametrize("change", OTHER_DATA.values(), ids=OTHER_DATA)
def test_other_data_are_noticed(audited, run, digits, change):
    found = verify(audited, run.path, change(digits))
    assert outcomes(found)["data"] == "refuted"
    assert outcomes(found)["pgd@linf:0.03"] == "unchecked"


def test_the_order_of_the_data_does_not_matter(audited, run, digits):
    turned = digits.test.subset(torch.arange(len(digits.test)).flip(0))
    assert verify(audited, run.path, dataclasses.replace(digits, test=turned)).outcome == "confirmed"


def test_an_audit_that_keeps_no_images_says_so(run, digits, tmp_path, plan_of_audited):
    plan = dataclasses.replace(plan_of_audited, keep_images=False, perturbations=())
    audit(load(run.path), digits, plan=plan, output=tmp_path)
    assert not (tmp_path / "adversarial").exists()
    found = verify(tmp_path, run.path, digits)
    assert found.outcome == "unchecked"
    assert outcomes(found)["clean"] == "confirmed"


def test_nothing_else_can_be_verified(audited, tmp_path):
    with pytest.raises(UserError, match="no audit record"):
        verify(tmp_path)
    with pytest.raises(UserError, match=r"takes a model from rp\.load"):
        verify(audited, torch.nn.Linear(1, 1))
    with pytest.raises(UserError, match="needs the images"):
        verify(audited, Backbone().load())


def test_an_audit_that_was_broken_off_and_went_on_is_confirmed(run, digits, tmp_path, plan_of_audited):
    def leave(progress):
        if progress.key == "pgd@linf:0.03":
            raise KeyboardInterrupt

    plan = dataclasses.replace(plan_of_audited, perturbations=())
    with pytest.raises(KeyboardInterrupt):
        audit(load(run.path), digits, plan=plan, output=tmp_path, observer=leave)
    record = audit(load(run.path), digits, plan=plan, output=tmp_path)
    fell = record["clean"].correct.count - record["pgd@linf:0.03"].correct.count
    assert sum(kept.images for kept in record.adversarial) >= fell > 0
    assert verify(tmp_path, run.path, digits).outcome == "confirmed"
    assert not list((tmp_path / "ledger").glob("*.safetensors"))


def test_the_wrong_one_of_run_and_undefended_network_is_told_from_another_model(audited, run, digits, tmp_path):
    _, bare = undefend(load(run.path), lambda: digits)
    short = AuditPlan(epsilons=(), attacks=(), perturbations=(), checks="none", gallery=0)
    audit(bare, digits, plan=short, label="undefended", output=tmp_path)
    said = {f.claim: f for f in verify_run(tmp_path, run.path, digits).findings}["model"]
    assert said.outcome == "refuted"
    assert said.says.endswith("of this run's network without its adapter (undefended): add --undefended")
    assert verify_run(tmp_path, run.path, digits, undefended=True).outcome == "confirmed"
    said = {f.claim: f for f in verify_run(audited, run.path, digits, undefended=True).findings}["model"]
    assert "of a tuned model (FullLoRA): leave --undefended out" in said.says


def test_what_the_search_for_small_perturbations_found_is_confirmed(run, digits, tmp_path):
    plan = AuditPlan(
        epsilons=(0.01, 0.03), attacks=(FGSM(),), perturbations=(), minimal_norms=True, checks="none", gallery=0
    )
    record = audit(load(run.path), digits, plan=plan, output=tmp_path)
    assert record["minimal@linf:0.03"].correct.count <= record["fgsm@linf:0.03"].correct.count
    found = verify(tmp_path, run, digits)
    assert [f.claim for f in found.findings if f.outcome != "confirmed"] == []
