import sys

import pytest
import torch

from robustpeft.attacks import PGD
from robustpeft.backbones import Backbone
from robustpeft.errors import UserError
from robustpeft.records import read_transfer
from robustpeft.study import transfer
from robustpeft.types import Linf

FEW = PGD(steps=2, random_start=False)


@pytest.fixture(scope="module")
def models(run):
    return {"tuned": run.model, "public": Backbone().load()}


@pytest.fixture(scope="module")
def record(models, digits):
    return transfer(models, digits, Linf(0.06), attack=FEW, images=30, seed=3)


def test_every_cell_is_what_the_target_says_of_the_sources_images(models, digits, record):
    taken = digits.test.take(30, 3)
    (batch,) = taken.batches(30)
    views = [model.attack_view() for model in models.values()]
    assert [row.id for row in record.rows] == batch.ids.tolist()
    for source, model in enumerate(models.values()):
        adversarial = FEW(model, batch.images, batch.labels, Linf(0.06), seed=3, ids=batch.ids)
        for target, view in enumerate(views):
            expected = view(adversarial).argmax(dim=1).tolist()
            assert [row.attacked[source][target] for row in record.rows] == expected
    for target, view in enumerate(views):
        assert [row.clean[target] for row in record.rows] == view(batch.images).argmax(dim=1).tolist()
    assert any(row.attacked[0] != row.attacked[1] for row in record.rows)


def test_the_record_says_what_was_done(record):
    assert [subject.label for subject in record.subjects] == ["tuned", "public"]
    assert record.attack["name"] == "pgd"
    assert record.attack["steps"] == 2
    assert record.threat == {"norm": "linf", "epsilon": 0.06}
    assert (record.data.n, record.data.split, record.seed, record.command) == (30, "test", 3, "")


def test_clean_images_are_asked_about_once_a_model(models, digits, monkeypatch):
    module = sys.modules[transfer.__module__]

    asked = []
    judge = module.Judge.__call__
    monkeypatch.setattr(module.Judge, "__call__", lambda self, x, y: asked.append(len(x)) or judge(self, x, y))
    transfer(models, digits, Linf(0.1), attack=FEW, images=8)
    assert sum(asked) == 8 * (2 + 2 * 2)


def test_the_threat_is_that_of_the_first_that_was_tuned_for_one(models, digits):
    public, tuned = models["public"], models["tuned"]
    found = transfer([public, tuned], digits, attack=FEW, images=4)
    assert found.threat == {"norm": "linf", "epsilon": 0.05}
    assert [subject.label for subject in found.subjects] == ["undefended", "FullLoRA"]


def test_the_models_are_left_as_they_were_and_the_record_is_written(models, digits, tmp_path):
    before = torch.get_rng_state()
    seen = []
    found = transfer(
        models, digits, Linf(0.1), attack=FEW, images=5, output=tmp_path, observer=lambda *p: seen.append(p)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert read_transfer(tmp_path) == found
    assert seen[-1] == (5, 5)


def test_equal_labels_are_numbered(models, digits):
    found = transfer([models["public"], models["public"]], digits, Linf(0.1), attack=FEW, images=2)
    assert [subject.label for subject in found.subjects] == ["undefended", "undefended #2"]


def test_what_cannot_be_compared_is_refused(models, digits, run):
    with pytest.raises(UserError, match="at least two models"):
        transfer([run], digits)
    with pytest.raises(UserError, match="at least two models"):
        transfer(str(run.path), digits)
    with pytest.raises(UserError, match="takes models from"):
        transfer([run, torch.nn.Identity()], digits)
    other = Backbone("digits_vit", weights=False).load()
    other.image_size = 32
    with pytest.raises(UserError, match="different size"):
        transfer([run, other], digits)
    with pytest.raises(UserError, match="none of the models was tuned for a threat"):
        transfer([models["public"], models["public"]], digits)
