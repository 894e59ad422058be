import dataclasses

import pytest
import torch

from robustpeft.attacks import Square
from robustpeft.auditing import AuditPlan
from robustpeft.errors import UserError
from robustpeft.records import attacker_ladder
from robustpeft.study import audit, audit_folder, verify, verify_run
from robustpeft.study.audit_folder import settled_model
from robustpeft.study.audit_model import default_plan
from robustpeft.study.audit_runs import AuditRequest, audit_runs
from robustpeft.study.profiles import estimate, with_profile
from robustpeft.study.targets import Facts, load_target
from robustpeft.study.targets.introduce import introduce

pytest.importorskip("onnxruntime")


def test_it_answers_as_the_network_does_and_gives_no_gradients(shop, onnx_file):
    model = load_target(str(onnx_file())).model
    images = torch.rand(5, 3, 16, 16, requires_grad=True)
    means = images.detach().mean(dim=(1, 2, 3))
    nearest = (means[:, None] - torch.tensor([40, 128, 215]) / 255).abs().argmin(dim=1)
    assert torch.equal(model(images).argmax(dim=1), nearest)
    assert not model(images).requires_grad


def test_an_audit_attacks_by_queries_and_asks_nothing_about_gradients(shop, onnx_file):
    plan = dataclasses.replace(default_plan(None, gradients=False), images=9)
    record = audit(str(onnx_file()), shop.photos, plan=plan)
    assert {m.name for m in record.of("attack")} == {"square"}
    verdicts = {check.key: check.verdict for check in record.checks}
    about_gradients = ("gradient_present", "gradient_true", "confidence_in_range")
    assert {verdicts[key] for key in about_gradients} == {"not_applicable"}
    assert "fail" not in verdicts.values()
    assert [check.key for check in record.checks if "could not be made" in check.evidence] == []
    assert (record.introduction.kind, record.subject.num_parameters) == ("onnx", 6)
    assert record.subject.label == "model"


def test_the_gallery_and_other_attacks_by_queries_do_without_gradients(shop, onnx_file):
    onnx_file()
    request = AuditRequest(data=str(shop.photos), changes={"epsilons": [0.3], "images": 6, "checks": "none"})
    (record,) = audit_runs(["model.onnx"], shop.path / "out", request)
    assert len(record.gallery) == 6
    assert record.of("attack")[0].correct.count < 6


def test_a_profile_has_a_search_by_queries_for_it(shop, onnx_file):
    model, data = introduce(str(onnx_file()), shop.photos)
    plan = with_profile(AuditPlan(epsilons=(0.1,)), "standard", gradients=False)
    assert plan.attacks == (Square(queries=5000),)
    assert estimate(model, data.test, plan, 3).seconds > 0


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_size_is_filled_up(shop, onnx_file, batch):
    model = load_target(str(onnx_file(shape=(batch, 3, 16, 16)))).model
    free = load_target(str(shop.write_onnx(shop.path / "free.onnx"))).model
    images = torch.rand(6, 3, 16, 16)
    assert torch.allclose(model(images), free(images))


def test_two_files_are_told_apart(shop, onnx_file):
    one = load_target(str(onnx_file())).model
    other = load_target(str(onnx_file(levels=(50, 128, 215)))).model
    assert one.digest() != other.digest()


def test_images_of_another_size_are_refused_in_a_sentence(shop, onnx_file):
    model = load_target(str(onnx_file())).model
    with pytest.raises(UserError, match="cannot answer images of 8 x 8 pixels"):
        model(torch.rand(1, 3, 8, 8))


def test_its_record_is_verified_as_the_audit_met_it(shop, onnx_file):
    onnx_file()
    changes = {"epsilons": [0.3], "images": 6, "checks": "none", "perturbations": []}
    facts = Facts(normalization="none", class_order="data")
    audit_runs(["model.onnx"], shop.path / "out", AuditRequest(data=str(shop.photos), changes=changes, facts=facts))
    record = shop.path / "out" / "model"
    assert verify_run(record, "model.onnx", str(shop.photos)).outcome == "confirmed"
    assert verify(record, "model.onnx", str(shop.photos)).outcome == "confirmed"
    with pytest.raises(UserError, match="say which with --data"):
        verify_run(record, "model.onnx")
    with pytest.raises(UserError, match="no undefended model"):
        verify_run(record, "model.onnx", str(shop.photos), undefended=True)


def test_the_default_plan_counts_queries_so_that_the_ladder_has_all_its_rungs(shop, onnx_file):
    model, data = introduce(str(onnx_file()), shop.photos)
    plan = default_plan(None, gradients=False)
    assert plan.black_box == (Square(queries=4999),)
    small = dataclasses.replace(plan, epsilons=(0.3,), images=3, checks="none", perturbations=(), gallery=0)
    record = audit(model, data, plan=small)
    rungs = {rung.key: rung for rung in attacker_ladder(record)}
    for budget in (100, 1000, 5000):
        assert rungs[f"queries_{budget}"].correct is not None
        assert rungs[f"queries_{budget}"].missing == ""


def test_a_folder_of_images_is_judged_by_it(shop, onnx_file):
    words, folder = str(onnx_file()), shop.photos / "test"
    with pytest.raises(UserError, match="found out on clean images: say with --data which"):
        audit_folder(words, folder)
    model = settled_model(words, str(shop.photos), Facts(image_size=16, normalization="none"))
    record = audit_folder(model, folder)
    assert record.stored.count == record.stored.n == 36
    assert record.subject.label == "model"
