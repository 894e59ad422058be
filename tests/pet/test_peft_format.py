"""The files of PEFT: what its adapters mean is read here, what is written here PEFT reads, and nothing is rounded.

One file, though long: reading and writing are one format, and most tests go both ways.
"""

import json

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from robustpeft.backbones import wrap
from robustpeft.pet import LNLoRA, LoRA, PeftLoRA, load_adapter
from robustpeft.pet.peft_format import is_blockwise, peft_files
from robustpeft.pet.rank_rules import RankRule
from robustpeft.types import COMPONENTS, UserError

CONFIG, WEIGHTS, SIDECAR = "adapter_config.json", "adapter_model.safetensors", "robustpeft.json"
PREFIX = "base_model.model."


def written_by_peft(model, directory, shake_size=0.1, **config):
    """Write an adapter of PEFT's as its file format says, with the increments that it means; return these by path."""
    generator = torch.Generator().manual_seed(3)
    tensors, increments = {}, {}
    for path, (rank, scaling) in config.pop("layers").items():
        weight = model.network.get_submodule(path).weight
        down = shake_size * torch.randn(rank, *weight.shape[1:], generator=generator)
        up = shake_size * torch.randn(len(weight), rank, *(1,) * (weight.ndim - 2), generator=generator)
        tensors |= {f"{PREFIX}{path}.lora_A.weight": down, f"{PREFIX}{path}.lora_B.weight": up}
        increments[path] = scaling * torch.einsum("or,ri->oi", up.flatten(1), down.flatten(1)).view_as(weight)
    if config.get("modules_to_save"):
        tensors |= {f"{PREFIX}head.{n}": p + 0.5 for n, p in model.network.head.state_dict().items()}
    directory.mkdir(exist_ok=True)
    (directory / CONFIG).write_text(json.dumps({"peft_type": "LORA", "bias": "none", **config}))
    save_file(tensors, directory / WEIGHTS)
    return increments


def with_increments(model, increments, head=0.5):
    with torch.no_grad():
        for path, increment in increments.items():
            model.network.get_submodule(path).weight.add_(increment)
        for parameter in model.network.head.parameters():
            parameter.add_(head)
    return model


QKV = {f"blocks.{i}.attn.qkv": (4, 2.0) for i in range(2)}


@pytest.mark.parametrize(
    ("layers", "config"),
    [
        (QKV, {"r": 4, "lora_alpha": 8, "target_modules": ["qkv"]}),
        ({"blocks.1.attn.qkv": (4, 0.25)}, {"r": 4, "lora_alpha": 1, "target_modules": ["blocks.1.attn.qkv"]}),
        (
            {"blocks.0.mlp.fc1": (4, 4.0)},
            {"r": 4, "lora_alpha": 8, "use_rslora": True, "target_modules": r".*0\.mlp\.fc1"},
        ),
        (
            {"patch_embed.proj": (2, 4.0), "blocks.0.attn.proj": (3, 2.0), "blocks.1.attn.proj": (2, 3.0)},
            {
                "r": 2,
                "lora_alpha": 8,
                "target_modules": ["proj"],
                "rank_pattern": {"blocks.0.attn.proj": 3},
                "alpha_pattern": {"attn.proj": 6},
            },
        ),
    ],
    ids=["joint", "alpha below r", "regular expression", "patterns"],
)
def test_a_lora_of_peft_computes_what_its_files_mean(build, images, tmp_path, layers, config):
    increments = written_by_peft(build(), tmp_path, layers=layers, modules_to_save=["head"], **config)
    model = build()
    handle = load_adapter(model, tmp_path)
    assert isinstance(handle.method, PeftLoRA)
    torch.testing.assert_close(model(images), with_increments(build(), increments)(images))


def test_without_a_saved_head_the_models_own_head_stays(build, images, tmp_path):
    increments = written_by_peft(build(), tmp_path, layers=QKV, r=4, lora_alpha=8, target_modules=["qkv"])
    model = build()
    load_adapter(model, tmp_path)
    torch.testing.assert_close(model(images), with_increments(build(), increments, head=0.0)(images))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"{PREFIX}blocks.1.attn.qkv.lora_A.weight"), r"missing \['blocks\.1\.attn\.qkv\.adapter"),
        (lambda t: t.pop(f"{PREFIX}head.bias"), r"missing \['head\.bias'\]"),
        (lambda t: t.update({f"{PREFIX}norm.weight": torch.ones(32)}), r"unexpected \['norm\.weight'\]"),
        (lambda t: t.update({f"{PREFIX}head.bias": torch.ones(7)}), r"head\.bias is \(7,\), not \(5,\)"),
        (
            lambda t: t.update({f"{PREFIX}blocks.0.attn.qkv.lora_B.weight": torch.ones(96, 5)}),
            r"lora_B of blocks\.0\.attn\.qkv is \(96, 5\), not \(96, 4\)",
        ),
    ],
)
def test_a_lora_of_peft_whose_tensors_do_not_fit_is_refused(build, tmp_path, change, message):
    written_by_peft(build(), tmp_path, layers=QKV, r=4, lora_alpha=8, target_modules=["qkv"], modules_to_save=["head"])
    tensors = load_file(tmp_path / WEIGHTS)
    change(tensors)
    save_file(tensors, tmp_path / WEIGHTS)
    model = build()
    with pytest.raises(UserError, match=message):
        load_adapter(model, tmp_path)
    assert model.attachments == []


@pytest.mark.parametrize(
    ("depth", "message"), [(1, r"unexpected \['blocks\.1\.attn"), (3, r"missing \['blocks\.2\.attn")]
)
def test_a_lora_of_peft_for_another_depth_is_refused(build, tmp_path, depth, message):
    written_by_peft(build(), tmp_path, layers=QKV, r=4, lora_alpha=8, target_modules=["qkv"])
    with pytest.raises(UserError, match=message):
        load_adapter(build(depth=depth), tmp_path)


def test_separate_branches_are_written_as_one_with_zeros_outside_their_rows(model, shake, tmp_path):
    handle = LoRA(r=2, alpha=1, components=("q", "v")).attach(model)
    shake(handle)
    config, tensors = peft_files(handle)
    layer = model.network.blocks[1].attn.qkv.adapter
    down = tensors[f"{PREFIX}blocks.1.attn.qkv.lora_A.weight"]
    up = tensors[f"{PREFIX}blocks.1.attn.qkv.lora_B.weight"]
    assert torch.equal(down, torch.cat([layer.A["q"], layer.A["v"]]))
    assert torch.equal(up[:32, :2], layer.B["q"])
    assert torch.equal(up[64:, 2:], layer.B["v"])
    assert up.count_nonzero() == layer.B["q"].count_nonzero() + layer.B["v"].count_nonzero()
    assert (config["r"], config["lora_alpha"], config["modules_to_save"]) == (4, 2, ["head"])
    assert isinstance(config["lora_alpha"], int)
    assert config["target_modules"] == ["blocks.0.attn.qkv", "blocks.1.attn.qkv"]
    assert is_blockwise(handle)
    handle.save(tmp_path)
    assert "joined" in json.loads((tmp_path / SIDECAR).read_text())["peft_form"]


def test_rslora_keeps_its_scaling_when_ranks_are_summed(model):
    config, _ = peft_files(LoRA(r=2, alpha=4, rslora=True, components=("q", "k", "v")).attach(model))
    assert config["use_rslora"]
    assert config["lora_alpha"] / config["r"] ** 0.5 == pytest.approx(4 / 2**0.5)


def test_layers_of_another_rank_are_named_exactly(build):
    method = LoRA(r=2, components=("q", "k", "proj"))
    config, _ = peft_files(method.attach(build(depth=12)))
    assert config["r"] in (2, 4)
    assert len(config["rank_pattern"]) == len(config["alpha_pattern"]) == 12
    declared = PeftLoRA(r=config["r"], alpha=99, rank_pattern=tuple(config["rank_pattern"].items()))
    ranks = {p: declared.rank_of(p) for p in ("blocks.1.attn.qkv", "blocks.11.attn.qkv", "blocks.1.attn.proj")}
    assert ranks == {"blocks.1.attn.qkv": 4, "blocks.11.attn.qkv": 4, "blocks.1.attn.proj": 2}
    only = PeftLoRA(r=7, rank_pattern=((next(k for k in config["rank_pattern"] if "1" in k[:12]), 1),))
    hit = [f"{x}blocks.{i}.attn.{n}" for x in ("", "a.") for i in range(12) for n in ("qkv", "proj")]
    assert sum(only.rank_of(path) == 1 for path in hit) == 1


def test_a_layer_that_differs_in_scaling_by_a_power_of_two_is_written_exactly(model, shake):
    handle = LoRA(r=2, components=("q", "k")).attach(model)
    shake(handle)
    adapter = model.network.blocks[0].attn.qkv.adapter
    first, second = adapter.branches
    for factor, expressible in ((4.0, True), (0.5, True), (3.0, False)):
        adapter.branches = (first, type(second)(second.name, second.r, second.scaling * factor, second.part))
        found = peft_files(handle)
        assert (found is not None) is expressible
        if found:
            up = found[1][f"{PREFIX}blocks.0.attn.qkv.lora_B.weight"]
            assert torch.equal(up[32:64, 2:], factor * adapter.B["k"])


def test_what_is_no_plain_lora_has_no_such_form(build):
    assert peft_files(LNLoRA(r=2).attach(build())) is None
    assert peft_files(LNLoRA(r=2, norm="none").attach(build())) is None  # its type would not come back
    assert not is_blockwise(LNLoRA(r=2).attach(build()))
    assert not is_blockwise(LoRA(r=2, components=("fc1",)).attach(build()))


def test_an_adapter_of_ours_that_was_changed_elsewhere_is_refused_with_the_sidecar_and_loads_without(
    build, images, shake, tmp_path
):
    handle = LoRA(r=2, alpha=8).attach(build())
    shake(handle)
    handle.save(tmp_path)
    name = f"{PREFIX}blocks.0.attn.qkv.lora_B.weight"
    tensors = load_file(tmp_path / WEIGHTS)
    tensors[name][40, 0] = 0.25
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(UserError, match=r"at blocks\.0\.attn\.qkv its branches are not separate any more"):
        load_adapter(build(), tmp_path)
    (tmp_path / SIDECAR).unlink()
    model = build()
    load_adapter(model, tmp_path)
    assert model.network.blocks[0].attn.qkv.adapter.B["joint"][40, 0] == 0.25


@pytest.mark.parametrize(("key", "value"), [("r", 6), ("lora_alpha", 17), ("use_rslora", True)])
def test_a_config_that_was_changed_under_an_adapter_of_ours_is_refused(build, tmp_path, key, value):
    LoRA(r=2, alpha=8).attach(build()).save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {key: value}))
    with pytest.raises(UserError, match=r"at blocks\.0\.attn\.qkv it has rank \d and scaling .*, not 4 and 4"):
        load_adapter(build(), tmp_path)


@pytest.mark.parametrize(
    "method",
    [
        LoRA(r=2, alpha=1),
        LoRA(r=3, alpha=7, components=COMPONENTS, rslora=True),
        PeftLoRA(r=3, target_modules=("qkv", "fc1"), rank_pattern=(("blocks.1.attn.qkv", 5),), rslora=True),
    ],
    ids=["q, v", "all, rslora", "joint"],
)
def test_peft_reads_what_is_written_here_and_answers_the_same(build, images, shake, tmp_path, method):
    peft = pytest.importorskip("peft")
    model = build(depth=3)
    handle = method.attach(model)
    shake(handle)
    handle.save(tmp_path)
    bare = build(depth=3)
    theirs = peft.PeftModel.from_pretrained(bare.network, tmp_path).eval()
    torch.testing.assert_close(theirs(model.normalize(images)), model(images), rtol=0, atol=1e-5)
    theirs.save_pretrained(tmp_path / "again")
    fresh = build(depth=3)
    load_adapter(fresh, tmp_path / "again")
    torch.testing.assert_close(fresh(images), model(images), rtol=0, atol=1e-5)


def test_a_lora_that_peft_made_and_saved_is_read_here(build, images, tmp_path):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(
        r=4,
        lora_alpha=2,
        target_modules=["qkv", "patch_embed.proj", "fc2"],
        modules_to_save=["head"],
        rank_pattern={"blocks.1.attn.qkv": 6},
        alpha_pattern={"fc2": 5},
        use_rslora=True,
        init_lora_weights=False,
    )
    torch.manual_seed(0)
    theirs = peft.get_peft_model(build().network, config).eval()
    theirs.base_model.model.head.modules_to_save["default"].weight.data.mul_(2.0)
    theirs.save_pretrained(tmp_path)
    model = build()
    handle = load_adapter(model, tmp_path)
    assert isinstance(handle.method, PeftLoRA)
    torch.testing.assert_close(model(images), theirs(model.normalize(images)), rtol=0, atol=1e-5)
    assert not torch.allclose(model(images), build()(images), atol=1e-2)


def test_peft_refuses_other_techniques_loudly(build, tmp_path):
    peft = pytest.importorskip("peft")
    LNLoRA(r=2).attach(build()).save(tmp_path)
    with pytest.raises((KeyError, ValueError), match="ROBUSTPEFT_LNLORA"):
        peft.PeftModel.from_pretrained(build().network, tmp_path)


@pytest.mark.parametrize(
    ("alpha", "ranks", "kind"), [(6.0, (2, 3), "ROBUSTPEFT_LORA"), (6.0, (2, 4), "LORA"), (None, (2, 3), "LORA")]
)
def test_ranks_of_any_kind_come_back_bit_for_bit_and_only_exact_ones_in_the_form_of_peft(
    build, images, shake, tmp_path, alpha, ranks, kind
):
    method = LoRA(
        r=ranks[0], alpha=alpha, components=("q", "v", "fc1"), rank_pattern=(RankRule(ranks[1], components=("v",)),)
    )
    model, fresh = build(), build()
    shake(method.attach(model))
    model.attachments[0].save(tmp_path)
    assert json.loads((tmp_path / CONFIG).read_text())["peft_type"] == kind
    assert load_adapter(fresh, tmp_path).method == method
    assert torch.equal(fresh(images), model(images))
    assert all(torch.equal(t, fresh.attachments[0].state()[n]) for n, t in model.attachments[0].state().items())


def test_a_backbone_with_other_names_for_its_head_goes_to_peft_and_back(images, shake, tmp_path):
    peft = pytest.importorskip("peft")

    def build():
        torch.manual_seed(0)
        sizes = {
            "img_size": 16,
            "patch_size": 2,
            "window_size": 4,
            "embed_dim": 16,
            "depths": (2, 2),
            "num_heads": (2, 2),
        }
        return wrap(timm.create_model("swin_tiny_patch4_window7_224", num_classes=5, **sizes)).eval()

    model = build()
    handle = LoRA(r=2, components=("patch_embed", "k", "fc2")).attach(model)
    shake(handle)
    handle.save(tmp_path)
    assert json.loads((tmp_path / CONFIG).read_text())["modules_to_save"] == ["head.fc"]
    theirs = peft.PeftModel.from_pretrained(build().network, tmp_path).eval()
    torch.testing.assert_close(theirs(images), model(images), rtol=0, atol=1e-5)


def test_a_head_that_is_declared_but_missing_is_not_made_up(build, tmp_path):
    written_by_peft(build(), tmp_path, layers=QKV, r=4, lora_alpha=8, target_modules=["qkv"])
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"modules_to_save": ["head"]}))
    with pytest.raises(UserError, match=r"missing \['head\.bias', 'head\.weight'\]"):
        load_adapter(build(), tmp_path)


def test_dropout_is_written(model):
    assert peft_files(LoRA(r=2, dropout=0.25).attach(model))[0]["lora_dropout"] == 0.25
