import torch
from torch import nn

from robustpeft.auditing.specimens.around import Around


def test_what_is_before_comes_before_and_what_is_after_after(model, images):
    around = Around(model, before=lambda x: x / 2, after=lambda z: z + 1)
    assert torch.equal(around(images), model(images / 2) + 1)
    assert torch.equal(Around(model)(images), model(images))


def test_modes_are_those_of_the_model_which_is_not_touched(model):
    model.drop.training = True
    assert not Around(model, before=nn.Dropout()).before.training
    assert model.drop.training
    assert Around(model.train(), after=nn.Dropout().eval()).after.training
