"""Transfer matrices and distances between parameters, after the runs of a study."""

import pytest
import torch

from robustpeft.backbones import Backbone
from robustpeft.errors import UserError
from robustpeft.pet import Full
from robustpeft.study.distances import component_parameters, measure_distances
from robustpeft.study.grid import Study

TINY = {"training.epochs": 1, "training.train_images": 32, "training.selection_images": 16, "training.batch_size": 16}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Two seeds of full tuning with and without an adversary, one epoch on 32 images each, and both stages."""
    root = tmp_path_factory.mktemp("stages")
    points = (
        {"label": "standard", "set": {"method": "full", "objective": "natural"}},
        {"label": "robust", "set": {"method": "full", "objective": {"name": "pgd_at", "attack": {"name": "fgsm"}}}},
    )
    asked = Study(
        "s",
        "full-digits",
        set=TINY,
        axes={"arm": points},
        seeds=(1, 2),
        audit=None,
        transfers=({"arms": ["standard", "robust"], "epsilon": 0.1, "images": 20, "attack": "fgsm"},),
        distances=({"standard": "standard", "adversarial": "robust"},),
    )
    return asked, root


def test_components_are_all_parameters_and_each_once():
    model = Backbone().load()
    parts = component_parameters(model)
    assert tuple(parts) == (
        *("patch_embed", "embeddings", "q", "k", "v", "proj", "fc1", "fc2", "norm scales", "norm biases", "head"),
    )
    assert sum(part.numel() for part in parts.values()) == sum(p.numel() for p in model.network.parameters())
    qkv = model.network.get_parameter("blocks.1.attn.qkv.weight").double()
    width = qkv.shape[1]
    assert torch.equal(parts["k"].reshape(len(model.seams.blocks), -1)[1][: width**2], qkv[width : 2 * width].flatten())


def test_the_distance_of_a_known_shift_is_known(tmp_path, monkeypatch):
    def tuned(run, trust):
        model = Backbone().load()
        Full().attach(model)
        with torch.no_grad():
            model.network.get_parameter("blocks.0.mlp.fc1.weight").mul_(run)
        return model

    monkeypatch.setattr("robustpeft.study.distances.load", tuned)
    labels, seeds = ("a", "b"), (1, 2)
    rows = {row.component: row for row in measure_distances([1.0, 1.0], [1.0, 3.0], labels, seeds, tmp_path).rows}
    assert (rows["q"].between, rows["q"].magnitudes, rows["q"].seeds_apart) == ((0.0, 0.0), (1.0, 1.0), (0.0, 0.0))
    before = Backbone().load().network.state_dict()
    fc1 = {name: tensor.double() for name, tensor in before.items() if ".mlp.fc1." in name}
    whole = sum(tensor.square().sum() for tensor in fc1.values()).sqrt()
    expected = float(2 * fc1["blocks.0.mlp.fc1.weight"].norm() / whole)
    assert rows["fc1"].between == pytest.approx((0.0, expected))
    assert rows["fc1"].adversarial == pytest.approx((0.0, expected))
    assert rows["fc1"].standard == (0.0, 0.0)


def test_runs_that_trained_a_part_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("robustpeft.study.distances.load", lambda run, trust: Backbone().load().requires_grad_(False))
    with pytest.raises(UserError, match="trained a part"):
        measure_distances([1], [1], ("a", "b"), (1,), tmp_path)
    with pytest.raises(UserError, match="as many runs of a as of b; got 1 and 0"):
        measure_distances([1], [], ("a", "b"), (1,), tmp_path)
