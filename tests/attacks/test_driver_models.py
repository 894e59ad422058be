import math

import pytest
import torch

from robustpeft.attacks import PGD, AttackPlan, Driver
from robustpeft.attacks.kept_images import read_kept_images
from robustpeft.attacks.subject import model_digest
from robustpeft.errors import UserError
from robustpeft.types import Linf

ONE = AttackPlan((PGD(steps=8, restarts=2),), (Linf(0.003),))


# Models of every kind.


@pytest.mark.parametrize("number", [1, 5, 9])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_answers_that_are_no_numbers_stop_it_before_they_count(
    curved, split_of, tmp_path, number, value, rows_of, kept
):
    model = curved()
    split = split_of(model)
    whole = rows_of(Driver(slots=4).run(model, split, ONE))

    def damage(passes, logits):
        return logits + torch.where(torch.arange(len(logits)) == 1, value, 0.0)[:, None] if passes == number else logits

    model.widths, model.damage = [], damage
    with pytest.raises(UserError, match="not finite"):
        Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    assert len(model.widths) == number
    found = kept(tmp_path)
    assert found == {key: whole[key] for key in found}
    model.damage = lambda passes, logits: logits
    Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    assert kept(tmp_path) == whole


def test_a_model_that_raises_halfway_leaves_a_sound_ledger(model, split, tmp_path, rows_of, kept):
    whole = rows_of(Driver(slots=4).run(model, split, ONE))

    def damage(passes, logits):
        if passes == 9:
            raise RuntimeError("out of memory")
        return logits

    model.widths, model.damage = [], damage
    with pytest.raises(RuntimeError, match="out of memory"):
        Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    assert 0 < len(kept(tmp_path)) < len(whole)
    model.damage = lambda passes, logits: logits
    Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    assert kept(tmp_path) == whole


def test_a_constant_model_holds_what_it_names_and_that_is_said(model, split, caplog):
    model.damage = lambda passes, logits: 0 * logits + torch.tensor([1.0, 0, 0, 0])
    findings = Driver(slots=4).run(model, split, ONE)
    assert findings.correct(split.ids.tolist(), None, 0).tolist() == (split.labels == 0).tolist()
    assert "a gradient of exactly 0" in caplog.text


def test_a_model_that_never_looks_at_its_images_is_an_error(model, split):
    with pytest.raises(UserError, match="no gradient back to the images"):
        Driver(slots=4).run(lambda images: torch.ones(len(images), 4), split, ONE)


def test_two_classes_and_one_image(curved, split_of):
    model = curved(classes=2)
    split = split_of(model, images=1, classes=2, wrong=0)
    plan = AttackPlan((PGD(steps=4), PGD(steps=4, loss="margin")), (Linf(0.2),))
    findings = Driver(slots=4).run(model, split, plan)
    assert findings.correct(split.ids.tolist(), None, 0).tolist() == [False]


def test_no_image_is_an_error_but_a_shard_may_have_none(model, split, tmp_path):
    with pytest.raises(UserError, match="no images"):
        Driver().run(model, split.subset(torch.zeros(0, dtype=torch.int64)), ONE)
    one = split.subset(torch.tensor([0]))  # id 1000
    for directory in (None, tmp_path):
        nothing = Driver(directory=directory, shard=(1, 2)).run(model, one, ONE)
        assert (nothing.plan, nothing.stages, nothing.rows) == (ONE, (), {})


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_is_given_images_in_it(curved, split_of, kind, tmp_path):
    model = curved().to(kind)
    split = split_of(model, wrong=0) if kind == torch.float32 else None
    whole = curved()
    split = split_of(whole)
    findings = Driver(slots=4, directory=tmp_path, keep_images="all").run(model, split, ONE)
    clean = model.eval()(split.images.to(kind)).argmax(1) == split.labels
    assert [not findings.clean(i).broken for i in split.ids.tolist()] == clean.tolist()
    points = list(read_kept_images(tmp_path))
    assert points
    for _, image, point in points:
        row = (split.ids == image).nonzero().item()
        assert point.dtype == torch.float32
        assert model(point[None].to(kind)).argmax() != split.labels[row]


def test_a_plain_callable_is_attacked_as_it_is(model, split, tmp_path, rows_of):
    model.eval()
    whole = rows_of(Driver(slots=4).run(model, split, ONE))
    assert rows_of(Driver(slots=4, directory=tmp_path).run(model.forward, split, ONE)) == whole
    model.shift += torch.tensor([100.0, 0, 0, 0])  # of a callable, no digest tells
    with pytest.raises(UserError, match="answers otherwise"):
        Driver(slots=4, directory=tmp_path).run(model.forward, split, ONE)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("raises", [True, False])
def test_model_and_chance_are_left_as_they_were(model, split, training, raises, killed, rows_of):
    whole = rows_of(Driver(slots=4).run(model.eval(), split, ONE))
    model.train(training)
    model.widths, model.stop_at = [], 7 if raises else None
    model.inner.grad = torch.ones_like(model.inner)
    before = {name: (tensor.clone(), tensor._version) for name, tensor in model.state_dict(keep_vars=True).items()}
    state, digest = torch.get_rng_state(), model_digest(model)
    try:
        found = rows_of(Driver(slots=4).run(model, split, ONE))
    except killed:
        assert raises
    else:
        assert found == whole  # dropout is off
        assert not raises
    assert [module.training for module in model.modules()] == [training] * 2
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(model.inner.grad, torch.ones_like(model.inner))
    assert model.outer.grad is None
    for name, tensor in model.state_dict(keep_vars=True).items():
        assert torch.equal(tensor, before[name][0])
        assert tensor._version == before[name][1]
    assert torch.equal(torch.get_rng_state(), state)
    assert model_digest(model) == digest
