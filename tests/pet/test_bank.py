from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from robustpeft.pet import AdapterBank, AdaptFormer, FullLoRA, LNLoRA, LoRA, NormsAndBiases, share
from robustpeft.types import UserError


@pytest.fixture
def directories(build, shake, tmp_path):
    """Return saved adapters by name, and the models they were saved from."""
    models = {}
    for seed, (name, method, classes) in enumerate(
        (("birds", LoRA(r=2), 3), ("cars", LNLoRA(r=2) + NormsAndBiases(), 7), ("dogs", AdaptFormer(bottleneck=4), 5))
    ):
        model = share(build(), num_classes=classes, seed=seed)
        model.classes = tuple(f"{name}{i}" for i in range(classes))
        handle = method.attach(model)
        shake(handle, seed)
        handle.save(tmp_path / name)
        models[name] = model
    return tmp_path, models


def test_each_answers_as_where_it_was_saved_with_its_own_classes(build, images, directories):
    path, models = directories
    bank = AdapterBank(build())
    for name in models:
        bank.add(name, path / name)
    assert bank.names == tuple(bank) == ("birds", "cars", "dogs")
    assert len(bank) == 3
    assert "cars" in bank
    for name, model in models.items():
        assert torch.equal(bank[name](images), model(images))
        assert bank[name].classes == model.classes


def test_the_one_in_use_is_what_the_bank_answers(build, images, directories):
    path, models = directories
    bank = AdapterBank(build())
    with pytest.raises(UserError, match="no adapter is in use"):
        bank(images)
    bank.add("birds", path / "birds")
    bank.add("cars", str(path / "cars"))
    assert bank.active is None
    for name in ("cars", "birds", "cars"):
        bank.use(name)
        assert bank.active == name
        assert torch.equal(bank(images), models[name](images))
    bank.remove("birds")
    assert bank.active == "cars"
    bank.remove("cars")
    assert bank.active is None
    assert bank.names == ()


def test_tuning_one_leaves_the_others_and_the_backbone_as_they_were_to_the_last_bit(build, images, directories):
    path, models = directories
    backbone = build()
    logits = backbone(images)
    bank = AdapterBank(backbone)
    bank.add("birds", path / "birds")
    handle = bank.add("new", FullLoRA(r=2) + NormsAndBiases(), num_classes=4, seed=3)
    assert bank["new"](images).shape == (3, 4)
    optimizer = torch.optim.SGD(handle.parameters(), lr=0.5)
    for _ in range(2):
        bank["new"](images).square().sum().backward()
        optimizer.step()
    assert torch.equal(bank["birds"](images), models["birds"](images))
    assert torch.equal(backbone(images), logits)


def test_an_adapter_costs_what_it_trains_and_no_more(build, directories):
    path, models = directories
    backbone = build()
    bank = AdapterBank(backbone)
    there = {p.data_ptr() for p in backbone.parameters()}
    for name in models:
        handle = bank.add(name, path / name)
        own = {n for n, p in bank[name].network.named_parameters() if p.data_ptr() not in there}
        assert own == handle.named_parameters().keys()
        there |= {p.data_ptr() for p in bank[name].parameters()}


def test_threads_call_different_adapters_at_a_time(build, images, directories):
    path, models = directories
    bank = AdapterBank(build())
    for name in models:
        bank.add(name, path / name)
    wanted = {name: model(images) for name, model in models.items()}
    names = list(models) * 8
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: bank[name](images), names))
    assert all(torch.equal(logits, wanted[name]) for name, logits in zip(names, found, strict=True))


def test_what_does_not_fit_is_refused_and_the_bank_is_as_it_was(build, directories):
    path, _ = directories
    bank = AdapterBank(build(seed=1))
    with pytest.raises(UserError, match="belongs to other weights"):
        bank.add("birds", path / "birds")
    with pytest.raises(UserError, match="no adapter in"):
        bank.add("birds", path / "nowhere")
    assert bank.names == ()
    bank = AdapterBank(build())
    bank.add("birds", path / "birds")
    with pytest.raises(UserError, match="has an adapter 'birds' already"):
        bank.add("birds", LoRA(r=2))
    with pytest.raises(UserError, match=r"of another shape .*head"):
        bank.add("more", path / "birds", num_classes=4)
    for action in (bank.remove, bank.use, bank.__getitem__):
        with pytest.raises(UserError, match="has no adapter 'bird'; did you mean 'birds'"):
            action("bird")
    assert bank.names == ("birds",)


def test_the_seed_decides_how_a_technique_and_a_new_head_begin(build):
    bank = AdapterBank(build())
    states = [bank.add(str(i), LoRA(r=2), num_classes=4, seed=seed).state() for i, seed in enumerate((1, 1, 2))]
    unsaid = bank.add("unsaid", LoRA(r=2), num_classes=4).state()
    zero = bank.add("zero", LoRA(r=2), num_classes=4, seed=0).state()
    for name in ("head.weight", "blocks.0.attn.qkv.adapter.A.q"):
        assert torch.equal(states[0][name], states[1][name])
        assert not torch.equal(states[0][name], states[2][name])
        assert torch.equal(unsaid[name], zero[name])


def test_a_module_that_the_files_name_is_imported_for_those_who_trust_it(build, directories, monkeypatch):
    path, _ = directories
    (path / "lies_in_the_bank.py").write_text("raise ZeroDivisionError('executed')")
    monkeypatch.syspath_prepend(path)
    config = path / "dogs" / "adapter_config.json"
    config.write_text(config.read_text().replace('"adaptformer"', '"lies_in_the_bank:Evil"'))
    bank = AdapterBank(build())
    with pytest.raises(UserError, match="nothing was imported"):
        bank.add("dogs", path / "dogs")
    with pytest.raises(ZeroDivisionError, match="executed"):
        bank.add("dogs", path / "dogs", trust=True)


def test_without_names_the_classes_of_an_adapter_are_unnamed(build, directories):
    path, models = directories
    (path / "birds" / "robustpeft.json").unlink()  # it is a LoRA as PEFT writes it, too
    bank = AdapterBank(build())
    bank.add("birds", path / "birds")
    assert bank["birds"].classes == ()
    assert bank["birds"].num_classes == models["birds"].num_classes
