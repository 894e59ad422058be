import json
import shutil

import pytest
import torch
from PIL import Image
from torch import nn

import robustpeft as rp
from robustpeft.backbones import Backbone, ImageClassifier, Normalize
from robustpeft.errors import UserError
from robustpeft.pet import Full
from robustpeft.study.run_directory import note_audit, prepare_directory
from robustpeft.types import Linf


def copied(run, tmp_path):
    return shutil.copytree(run.path, tmp_path / "copy")


def change(path, **values):
    file = path / "robustpeft.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_loaded_run_answers_as_the_model_that_was_tuned(run, digits):
    images = next(digits.test.batches(16)).images
    loaded = rp.load(run.path)
    with torch.no_grad():
        assert torch.equal(loaded(images), run.model(images))
    assert not loaded.training
    assert loaded.classes == tuple("0123456789")
    assert loaded.threat == Linf(0.05)


def test_the_transform_makes_an_image_the_model_takes(run):
    loaded = rp.load(run.path)
    image = loaded.transform(Image.new("L", (40, 30), 255))
    assert image.shape == (3, 16, 16)
    assert float(image.min()) == 1.0


def test_a_run_leaves_the_files_that_are_promised(run):
    names = {f.name for f in run.path.iterdir()}
    assert {
        "adapter_config.json",
        "adapter_model.safetensors",
        "robustpeft.json",
        "metrics.jsonl",
        "README.md",
    } <= names
    card = (run.path / "README.md").read_text()
    assert "base_model: digits_vit" in card
    assert f"{run.model.attachments[0].num_parameters:,}" in card


def test_another_backbone_is_refused_by_its_digest(run, tmp_path):
    path = copied(run, tmp_path)
    change(path, backbone=json.loads((path / "robustpeft.json").read_text())["backbone"] | {"weights": False})
    with pytest.raises(UserError, match=r"belongs to other weights of digits_vit: its digest"):
        rp.load(path)


def test_fully_tuned_weights_come_back_too(tune_digits, digits, tmp_path):
    run = tune_digits(tmp_path / "full", method=Full())
    images = next(digits.test.batches(16)).images
    loaded = rp.load(run.path)
    with torch.no_grad():
        assert torch.equal(loaded(images), run.model(images))


def test_a_network_of_ones_own_is_given_at_loading(digits, tmp_path):
    def build():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 10))
        return ImageClassifier(
            network, Normalize((0.5,) * 3, (0.5,) * 3), num_classes=10, image_size=(16, 16), name="mine"
        )

    plan = rp.TrainingPlan(epochs=1, selection_attack=rp.PGD(steps=1))
    run = rp.tune(build(), digits, method=Full(), training=plan, objective=rp.Natural(), output=tmp_path / "run")
    with pytest.raises(UserError, match=r"network of its author's own \(mine\)"):
        rp.load(run.path)
    images = next(digits.test.batches(16)).images
    assert torch.equal(rp.load(run.path, model=build())(images), run.model(images))


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "damaged"), ("[]", "damaged"), ('{"version": 99}', "version 99"), (None, "not a finished run")],
)
def test_a_sidecar_that_cannot_be_used_is_refused(run, tmp_path, content, message):
    path = copied(run, tmp_path)
    if content is None:
        (path / "robustpeft.json").unlink()
    else:
        (path / "robustpeft.json").write_text(content)
    with pytest.raises(UserError, match=message):
        rp.load(path)


def test_a_directory_in_use_is_only_replaced_if_it_is_a_run(tmp_path):
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "a.jpg").write_text("x")
    with pytest.raises(UserError, match="not empty"):
        prepare_directory(foreign, resume=False, overwrite=False)
    with pytest.raises(UserError, match="not a run"):
        prepare_directory(foreign, resume=False, overwrite=True)
    assert (foreign / "a.jpg").exists()
    mine = tmp_path / "run"
    mine.mkdir()
    (mine / "metrics.jsonl").write_text("")
    (mine / "checkpoints").mkdir()
    with pytest.raises(UserError, match="not a run"):  # others have checkpoints too
        prepare_directory(mine, resume=False, overwrite=True)
    with pytest.raises(UserError, match="not a run"):  # or a later overwrite would take it for ours
        prepare_directory(mine, resume=True, overwrite=False)
    (mine / ".robustpeft").touch()
    prepare_directory(mine, resume=True, overwrite=False)
    assert (mine / "metrics.jsonl").exists()
    prepare_directory(mine, resume=False, overwrite=True)
    assert [entry.name for entry in mine.iterdir()] == [".robustpeft"]
    with pytest.raises(UserError, match="is a file"):
        prepare_directory(foreign / "a.jpg", resume=False, overwrite=False)


def test_the_backbone_value_builds_the_model_again():
    assert rp.load_backbone("digits_vit").origin == Backbone()


def test_a_class_that_the_files_name_is_not_imported_unasked(run, tmp_path, monkeypatch):
    path = copied(run, tmp_path)
    (path / "left_here.py").write_text("raise SystemExit('executed')")
    config = path / "adapter_config.json"
    config.write_text(config.read_text().replace('"name": "fulllora"', '"name": "left_here:Evil"'))
    monkeypatch.syspath_prepend(path)
    with pytest.raises(UserError, match=r"left_here:Evil, which is not part of robustpeft; nothing was imported"):
        rp.load(path)
    with pytest.raises(SystemExit, match="executed"):
        rp.load(path, trust=True)


def test_weights_that_moved_are_asked_for(run, tmp_path):
    path = copied(run, tmp_path)
    backbone = json.loads((path / "robustpeft.json").read_text())["backbone"]
    change(path, backbone=backbone | {"weights": str(tmp_path / "gone.safetensors")})
    with pytest.raises(UserError, match=r"are not at .*gone\.safetensors any more.*weights="):
        rp.load(path)


def test_a_loaded_run_knows_what_it_was_tuned_on(run, digits):
    assert rp.load(run.path).trained_ids == frozenset(digits.train.ids.tolist())


def test_an_adapter_alone_is_no_run_and_says_how_to_load_it(tmp_path):
    model = rp.load_backbone("digits_vit")
    rp.LoRA(r=2).attach(model).save(tmp_path / "a")
    with pytest.raises(UserError, match=r"holds an adapter but no finished run: .*rp\.load_adapter\(model, '.*a'\)"):
        rp.load(tmp_path / "a")
    assert rp.load_adapter(rp.load_backbone("digits_vit"), tmp_path / "a").method == rp.LoRA(r=2)


def test_a_run_of_plain_lora_loads_from_the_format_of_peft(tune_digits, digits, tmp_path):
    run = tune_digits(tmp_path / "lora", method=rp.LoRA(r=2, alpha=4))
    assert json.loads((run.path / "adapter_config.json").read_text())["peft_type"] == "LORA"
    images = next(digits.test.batches(16)).images
    assert torch.equal(rp.load(run.path)(images), run.model(images))


def test_what_an_audit_counted_is_noted_and_the_run_still_loads(run, digits, tmp_path):
    path = copied(run, tmp_path)
    plan = rp.AuditPlan(epsilons=(0.05,), attacks=(rp.FGSM(),), perturbations=(), images=10)
    record = rp.audit(rp.load(path), digits, plan=plan)
    note_audit(path, record)
    note_audit(path, record)
    audits = json.loads((path / "robustpeft.json").read_text())["audits"]
    assert list(audits) == [f"{record.data.name}/test"]
    noted = audits[f"{record.data.name}/test"]
    assert (noted["n"], noted["digest"]) == (10, record.data.digest)
    assert noted["correct"] == {m.key: m.correct.count for m in record.measurements}
    assert rp.load(path).classes == digits.classes


def test_a_smaller_audit_does_not_take_the_place_of_a_larger_one_that_is_there(run, digits, tmp_path, caplog):
    path = copied(run, tmp_path)

    def audited(images):
        plan = rp.AuditPlan(epsilons=(0.05,), attacks=(rp.FGSM(),), perturbations=(), images=images)
        output = path / "audit" / str(images)
        note_audit(path, rp.audit(rp.load(path), digits, plan=plan, output=output))
        (noted,) = json.loads((path / "robustpeft.json").read_text())["audits"].values()
        return noted["n"]

    assert [audited(n) for n in (10, 20, 5)] == [10, 20, 20]
    assert "keeps vouching for its audit of 20 images; this one had 5" in caplog.text
    (path / "audit" / "20" / "audit.json").unlink()
    assert audited(6) == 6


def test_an_audit_that_cannot_be_noted_is_not_lost(run, digits, tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise PermissionError("read-only")

    path = copied(run, tmp_path)
    plan = rp.AuditPlan(epsilons=(0.05,), attacks=(rp.FGSM(),), perturbations=(), images=10)
    record = rp.audit(rp.load(path), digits, plan=plan)
    monkeypatch.setattr("robustpeft.study.run_directory.write_json", fail)
    note_audit(path, record)
    assert "the audit is not noted" in caplog.text
