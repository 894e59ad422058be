import sys

import pytest
import torch
from safetensors.torch import save_file

from robustpeft.errors import UserError
from robustpeft.study.targets import Facts, find_target, load_target


def test_it_is_called_with_its_options_and_left_out_of_the_path(shop):
    before = list(sys.path)
    loaded = load_target(shop.factory(), Facts(trust=True, options={"levels": (10, 100, 150, 200)}))
    assert loaded.model.network.head.out_features == 4
    assert sys.path == before


def test_weights_are_loaded_into_it_whole(shop):
    state = {"head.weight": torch.ones(3, 1), "head.bias": torch.zeros(3)}
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, "w.safetensors")
    loaded = load_target(shop.factory(), Facts(trust=True, weights="w.safetensors"))
    assert torch.equal(loaded.model.network.head.weight, torch.ones(3, 1))
    save_file({"head.weight": torch.ones(3, 1)}, "half.safetensors")
    with pytest.raises(UserError, match=r"1 missing \(head.bias\)"):
        load_target(shop.factory(), Facts(trust=True, weights="half.safetensors"))


def test_nothing_is_imported_without_trust(shop):
    (shop.path / f"{shop.module}_evil.py").write_text("raise SystemExit('executed')")
    target = find_target(f"{shop.module}_evil:make")
    with pytest.raises(UserError, match="nothing was imported"):
        target.load(Facts())


def test_what_wrap_made_keeps_its_normalisation(shop):
    (shop.path / f"{shop.module}_wrapped.py").write_text(
        f"import robustpeft as rp\nfrom {shop.module} import Bright\n"
        "def make():\n    model = rp.wrap(Bright(), mean=(0.5,) * 3, std=(0.5,) * 3)\n"
        "    model.classes = ('class1', 'class2', 'class10')\n    model.image_size = (16, 16)\n    return model\n"
    )
    loaded = load_target(f"{shop.module}_wrapped:make", Facts(trust=True))
    assert loaded.settled
    assert loaded.model.normalize.std.flatten().tolist() == [0.5] * 3
