import dataclasses

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

import robustpeft as rp
from robustpeft.backbones import Backbone
from robustpeft.study.undefended import PROBED, UNDEFENDED, load_undefended

PLAN = rp.TrainingPlan(epochs=1, batch_size=50, selection_attack=rp.PGD(steps=1))


def test_with_its_own_head_the_backbone_is_what_it_was(run, digits):
    label, model = load_undefended(run.path, digits)
    images = next(digits.test.batches(16)).images
    assert label == UNDEFENDED
    with torch.no_grad():
        assert torch.equal(model(images), rp.load_backbone("digits_vit")(images))
    assert model.threat is None


def probed(classes, digits, tmp_path):
    keep = {name: split.subset((split.labels < classes).nonzero().flatten()) for name, split in digits.splits.items()}
    data = dataclasses.replace(digits, classes=digits.classes[:classes], **keep)
    run = rp.tune(Backbone(num_classes=classes).load(), data, output=tmp_path / "run", training=PLAN)
    return data, *load_undefended(run.path, data)


def test_a_new_head_becomes_a_logistic_regression_on_frozen_features(digits, tmp_path):
    for classes in (2, 4):
        data, label, model = probed(classes, digits, tmp_path / str(classes))
        assert label == PROBED
        frozen = rp.load_backbone("digits_vit")
        with torch.no_grad():
            features = [
                torch.cat([frozen.features(b.images) for b in split.batches(64)]).numpy()
                for split in (data.train, data.test)
            ]
            logits = torch.cat([model(b.images) for b in data.test.batches(64)])
        reference = LogisticRegression(max_iter=2000).fit(features[0], data.train.labels.numpy())
        np.testing.assert_allclose(logits.softmax(1).numpy(), reference.predict_proba(features[1]), atol=1e-4)
