"""Several adapters of one backbone in one call: only a worst case may depend on the company, and only fall."""

import dataclasses
import json
import shutil

import pytest
import torch

from robustpeft.attacks import AutoAttack
from robustpeft.auditing import AuditPlan
from robustpeft.errors import UserError
from robustpeft.pet import LoRA
from robustpeft.records import read_record
from robustpeft.study import verify
from robustpeft.study.audit_runs import AuditRequest, audit_runs, meet
from robustpeft.study.backbones_in_use import BackbonesInUse
from robustpeft.study.targets import Facts

CHANGES = {
    "epsilons": [0.05, 0.15],
    "attacks": ["fgsm", {"name": "pgd", "steps": 5}],
    "perturbations": [],
    "gallery": 2,
    "checks": "none",
}


@pytest.fixture(scope="module")
def second(tune_digits, tmp_path_factory):
    return tune_digits(tmp_path_factory.mktemp("runs") / "lora", method=LoRA(r=2), seed=1)


@pytest.fixture(scope="module")
def runs(run, second, tmp_path_factory):
    place = tmp_path_factory.mktemp("pair")
    return [shutil.copytree(each.path, place / each.path.name) for each in (run, second)]


@pytest.fixture(scope="module")
def asked(digits):
    return AuditRequest(data=digits, changes=CHANGES, undefended=True)


@pytest.fixture(scope="module")
def apart(runs, asked, tmp_path_factory):
    return audit_runs(runs, tmp_path_factory.mktemp("apart"), dataclasses.replace(asked, alone=True))


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def shared(runs, asked, shared_place):
    return audit_runs(runs, shared_place, asked)


def test_whoever_names_attacks_gets_no_others_from_a_profile(runs, digits, monkeypatch, tmp_path):
    class StopError(Exception):
        pass

    def stop(model, split, plan, classes):
        raise StopError(plan)

    monkeypatch.setattr("robustpeft.study.audit_runs.estimate", stop)
    for changes, searches in (({"attacks": ["autoattack"]}, (AutoAttack(),)), ({"images": 5}, None)):
        request = AuditRequest(data=digits, profile="standard", changes=changes)
        with pytest.raises(StopError) as said:
            audit_runs(runs[:1], tmp_path / "asked", request)
        plan = said.value.args[0]
        assert plan.searches == (searches or (*AuditPlan.attacks, AutoAttack()))
        assert plan.black_box_images == 64
    request = AuditRequest(data=digits, profile="standard", changes={"attacks": []})
    with pytest.raises(StopError) as said:  # nothing else is tried: all images are asked about
        audit_runs(runs[:1], tmp_path / "asked", request)
    assert (said.value.args[0].searches, said.value.args[0].black_box_images) == ((), None)


def held(record):
    keys = ["clean", *(m.key for m in record.of("attack"))]
    return {row.id for row in record.rows if all(row.predictions[key] == row.label for key in keys)}


def plain(record):
    """Return all that must not depend on when and how often an audit was begun."""
    said = json.loads(json.dumps(record.as_dict()))
    for each in said["measurements"]:
        del each["seconds"]
    return {key: value for key, value in said.items() if key not in ("created", "environment", "command")}


def forwards(record):
    return sum(m.forwards for m in record.measurements)


def test_one_backbone_is_read_once_and_its_weights_are_shared(runs, digits):
    stock = BackbonesInUse(Facts(), "cpu")
    models, _ = meet(runs, digits, Facts(), "cpu", stock)
    assert stock.count == 1
    one, two = models.values()
    frozen = [dict(m.named_parameters())["network.patch_embed.proj.weight"].data_ptr() for m in (one, two)]
    assert frozen[0] == frozen[1]
    assert not torch.equal(one.network.head.weight, two.network.head.weight)


def test_what_is_asked_without_an_attack_is_bit_for_bit_the_same(apart, shared):
    for alone, together in zip(apart, shared, strict=True):
        assert [row.predictions["clean"] for row in alone.rows] == [row.predictions["clean"] for row in together.rows]
        assert alone["clean"].correct == together["clean"].correct
    transfers = [[r.predictions["transfer@linf:0.15"] for r in records[1].rows] for records in (apart, shared)]
    assert transfers[0] == transfers[1]


def test_the_worst_case_may_only_fall_and_costs_less(apart, shared):
    assert [record.subject.label for record in shared] == [record.subject.label for record in apart]
    assert plain(shared[0])["rows"] == plain(apart[0])["rows"]  # the first has nobody to borrow from
    for alone, together in zip(apart, shared, strict=True):
        assert held(together) <= held(alone)
    assert sum(map(forwards, shared)) < sum(map(forwards, apart))


def test_the_record_says_how_many_images_were_borrowed_and_from_whom(shared):
    first, second, undefended = shared
    assert not first.of("attack", "sibling")
    found = second["sibling@linf:0.15"]
    source = f"{first.subject.label} ({first.seal.digest[:12]})"
    assert list(found.borrowed) == [source]
    assert 0 < found.borrowed[source] <= sum(m.forwards for m in second.of("attack", "sibling"))
    assert source in found.note
    assert second["pgd@linf:0.15"].borrowed == found.borrowed
    assert second.seal.plan["siblings"] == [first.seal.digest]
    assert undefended.seal.plan["siblings"] == [first.seal.digest, second.seal.digest]
    assert "earlier audit of the same pass" in second["transfer@linf:0.15"].note


def test_a_borrowed_count_is_confirmed_by_the_model(shared, shared_place, runs, digits):
    folder = shared_place / "lora"
    assert read_record(folder) == shared[1]
    found = verify(folder, runs[1], digits)
    assert [f.claim for f in found.findings if f.outcome != "confirmed"] == []


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["lora:pgd@linf:0.15", "lora:transfer@linf:0.15", "undefended:fgsm@linf:0.05"])
def test_a_call_that_was_broken_off_is_made_again_with_the_same_result(stop, shared, runs, asked, tmp_path):
    label, key = stop.split(":", 1)

    def break_off(now, progress):
        if now.lower().startswith(label) and progress.key == key:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit_runs(runs, tmp_path, asked, break_off)
    told = set()
    again = audit_runs(runs, tmp_path, asked, lambda now, _: told.add(now.lower().split()[0]))
    assert "fulllora" not in told  # it was complete
    assert [plain(record) for record in again] == [plain(record) for record in shared]
    assert not (tmp_path / ".shared").exists()


@pytest.mark.slow
def test_a_complete_call_is_refused_and_other_records_are_never_taken_for_it(runs, asked, tmp_path):
    alone = dataclasses.replace(asked, undefended=False)
    audit_runs(runs[:1], tmp_path, alone)
    with pytest.raises(UserError, match="holds an audit already"):
        audit_runs(runs[:1], tmp_path, alone)
    other = dataclasses.replace(alone, changes=CHANGES | {"epsilons": [0.05, 0.1]})
    with pytest.raises(UserError, match="holds an audit already"):
        audit_runs(runs, tmp_path, other)
    assert len(audit_runs(runs, tmp_path, alone)) == 2


def test_a_sibling_whose_images_were_changed_is_refused(shared_place, runs, digits, tmp_path):
    copy = shutil.copytree(shared_place / "fulllora", tmp_path / "fulllora")
    kept = next((copy / "adversarial").glob("*.npz"))
    kept.write_bytes(kept.read_bytes()[:-1])
    changes = CHANGES | {"siblings": [str(copy)]}
    with pytest.raises(UserError, match="was changed since it was written"):
        audit_runs(runs[1:], tmp_path / "out", AuditRequest(data=digits, changes=changes))


def test_a_sibling_on_other_images_is_refused(shared_place, runs, digits, tmp_path):
    changes = CHANGES | {"siblings": [str(shared_place / "fulllora")], "images": 20}
    with pytest.raises(UserError, match="audit of other images"):
        audit_runs(runs[1:], tmp_path / "out", AuditRequest(data=digits, changes=changes))


def test_only_what_this_call_put_on_its_way_is_deleted(runs, digits, tmp_path):
    of_others = [tmp_path / ".shared" / name for name in ("thesis.txt", "0123456789abcdef/shelf")]
    of_others[1].parent.mkdir(parents=True)
    for path in of_others:
        path.write_text("mine")
    asked = AuditRequest(data=digits, changes=CHANGES | {"attacks": ["fgsm"], "gallery": 0})
    audit_runs(runs[:1], tmp_path, dataclasses.replace(asked, alone=True))
    assert all(path.exists() for path in of_others)
    shelves = []
    audit_runs(runs, tmp_path, asked, lambda *_: shelves.extend((tmp_path / ".shared").glob("*/*/look.safetensors")))
    assert shelves
    assert sorted(p for p in (tmp_path / ".shared").rglob("*") if p.is_file()) == sorted(of_others)


@pytest.mark.parametrize(("epsilon", "taken"), [(0.05, False), (1e-6, True)], ids=["something broke", "nothing did"])
def test_a_record_without_the_images_that_are_wanted_now_is_not_taken_as_it_is(runs, digits, tmp_path, epsilon, taken):
    changes = CHANGES | {"attacks": ["fgsm"], "epsilons": [epsilon], "gallery": 0, "transfer": False}
    forgetful = AuditRequest(data=digits, changes=changes | {"keep_images": False})
    (first,) = audit_runs(runs[:1], tmp_path, forgetful)
    assert not first.adversarial
    asked = AuditRequest(data=digits, changes=changes)
    if taken:
        assert audit_runs(runs, tmp_path, asked)[0] == first
    else:
        with pytest.raises(UserError, match="holds an audit already"):
            audit_runs(runs, tmp_path, asked)
        assert audit_runs(runs, tmp_path, dataclasses.replace(asked, overwrite=True))[0].adversarial
