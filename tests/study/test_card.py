import dataclasses
import json
import re
import shutil

import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from PIL import Image

import robustpeft as rp
from robustpeft.backbones import Backbone
from robustpeft.records import Check, read_record
from robustpeft.study.card import GENERATED, is_generated, model_card
from robustpeft.study.card_metadata import base_model
from robustpeft.study.run_directory import note_audit

FAILED = Check("gradients_flow", "Gradients reach the input", "fail", "they do not", "look")


@pytest.fixture
def said(audited_run):
    return json.loads((audited_run / "robustpeft.json").read_text())


@pytest.fixture
def record(audited_run):
    return read_record(audited_run / "audit" / "fulllora")


def code_of(card):
    return re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)


def test_the_metadata_is_what_the_hub_reads(said, record):
    data = ModelCard(model_card(said, [record], name="ann/digits", license_id="mit")).data
    assert (data.library_name, data.base_model, data.base_model_relation) == ("robustpeft", "digits_vit", "adapter")
    assert (data.pipeline_tag, data.license, data.datasets) == ("image-classification", "mit", None)
    assert {"robustpeft", "fulllora", "linf"} <= set(data.tags)
    name, results = model_index_to_eval_results(data.to_dict()["model-index"])
    assert name == "fulllora on digits_vit for digits"
    clean, robust = results
    assert clean.metric_value == round(record["clean"].correct.fraction, 4)
    assert (clean.dataset_type, clean.dataset_split) == ("digits", "test")
    assert clean.metric_args["n"] == 40
    low, high = record["clean"].correct.interval()
    assert clean.metric_args["interval_95"] == [round(low, 4), round(high, 4)]
    assert robust.metric_name == "Robust accuracy at Linf 0.1, at most"
    assert robust.metric_args | {"norm": "linf", "epsilon": 0.1, "attacks": ["FGSM", "Transfer"]} == robust.metric_args
    # the worst case over both radii, counted anew
    withstood = [r for r in record.rows if set(r.predictions.values()) == {r.label}]
    assert robust.metric_args["correct"] == len(withstood)


def test_without_an_audit_there_is_no_number_but_those_of_validation(said):
    card = model_card(said)
    assert ModelCard(card).data.eval_results is None
    assert "nothing is known of its robustness" in card
    assert "these are too kind: 92.5 %" in card


def test_validation_images_and_refused_numbers_are_called_so(said, record):
    kind = dataclasses.replace(record, data=dataclasses.replace(record.data, split="validation"))
    card = model_card(said, [kind])
    assert all("on validation images, too kind" in r.metric_name for r in ModelCard(card).data.eval_results)
    assert "These images chose the epoch" in card
    broken = dataclasses.replace(FAILED, group="integrity")
    refused = model_card(said, [dataclasses.replace(record, checks=(broken,))])
    assert ModelCard(refused).data.eval_results is None
    assert "no number is given" in refused
    assert "| FullLoRA |" not in refused


def test_an_upper_bound_is_called_one(said, record):
    right = dict.fromkeys(record.rows[0].predictions, record.rows[0].label)
    holds = (dataclasses.replace(record.rows[0], predictions=right), *record.rows[1:])  # else nothing could be lower
    weak = dataclasses.replace(record, checks=(FAILED,), rows=holds)
    card = model_card(said, [weak])
    assert "is at most" in card
    assert "and probably lower. It does not hold that gradients reach the input" in card
    assert ModelCard(card).data.eval_results[1].metric_args["reading"] == "upper bound"


def test_its_code_runs_and_switching_off_gives_back_the_frozen_network(audited_run, digits, monkeypatch, capsys):
    """What the card says about rolling back holds bit for bit: the logits are those of the backbone alone."""
    monkeypatch.chdir(audited_run)
    use, off = code_of((audited_run / "README.md").read_text())
    images = next(digits.test.batches(16)).images
    frozen = rp.load_backbone("digits_vit")(images)
    names = {"photo": Image.new("RGB", (40, 40), "grey")}
    exec(use, names)
    model = names["model"]
    assert capsys.readouterr().out.strip() in digits.classes
    assert not model(images).equal(frozen)
    with model.disabled():
        assert model(images).equal(frozen)
    assert not model(images).equal(frozen)
    exec(off, names)
    assert torch.equal(names["before"], rp.load_backbone("digits_vit")(names["image"][None]))
    assert model(images).equal(frozen)


def test_texts_of_others_are_no_markup(said, record):
    evil = "<script>alert(1)</script> [x](http://e) \n---\nlicense: evil\n---"
    changed = said | {"classes": [evil], "tuning": said["tuning"] | {"data": evil, "data_note": evil}}
    card = model_card(changed, [dataclasses.replace(record, data=dataclasses.replace(record.data, name=evil))])
    body = card.partition(GENERATED)[2]
    assert "<script" not in body
    assert "[x](" not in body
    assert ModelCard(card).data.license is None


def test_an_audit_writes_the_card_anew_unless_it_is_in_words_of_ones_own(audited_run, record, tmp_path):
    there = shutil.copytree(audited_run, tmp_path / "run")
    card = there / "README.md"
    assert "FGSM" in card.read_text()
    card.write_text("mine")
    note_audit(there, record)
    assert card.read_text() == "mine"
    assert not is_generated("mine")


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        (Backbone(), "digits_vit"),
        (Backbone("vit_small_patch16_224.augreg_in21k"), "timm/vit_small_patch16_224.augreg_in21k"),
        (Backbone("hf-hub:ann/vit"), "ann/vit"),
        (Backbone("vit_small_patch16_224", "/x/y.pth"), "vit_small_patch16_224"),
    ],
)
def test_the_base_model_is_named_as_the_hub_names_it(backbone, expected):
    built = {"name": backbone.name, "weights": backbone.weights}
    assert base_model({"backbone_name": backbone.name, "backbone": built}) == expected
    assert base_model({"backbone_name": "My Net", "backbone": None}) is None


def test_data_of_the_hub_are_named(said):
    changed = said | {"tuning": said["tuning"] | {"data_note": "Hugging Face ann/cats; test is the published split"}}
    assert ModelCard(model_card(changed)).data.datasets == ["ann/cats"]


def test_without_a_threat_it_says_so_and_shows_no_robust_validation(said):
    card = model_card(said | {"threat": None})
    assert "none, it was tuned without an adversary" in card
    assert "attack of selection" not in card
    assert "linf" not in ModelCard(card).data.tags
