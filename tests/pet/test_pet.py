"""What a person may get wrong with a technique or an adapter is refused in a sentence, and leaves the model alone."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from robustpeft.errors import UserError
from robustpeft.pet import (
    PEFT,
    SSF,
    VPT,
    Adapter,
    AdapterPlus,
    AdaptFormer,
    BitFit,
    Full,
    FullLoRA,
    LastBlocks,
    LNLoRA,
    LoRA,
    PeftLoRA,
    PerHeadLoRA,
    RankRule,
    load_adapter,
)

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
SIZES = {
    LoRA: "r",
    LNLoRA: "r",
    FullLoRA: "r",
    PeftLoRA: "r",
    PerHeadLoRA: "r",
    Adapter: "bottleneck",
    AdapterPlus: "bottleneck",
    AdaptFormer: "bottleneck",
    VPT: "num_prompts",
    LastBlocks: "k",
}
UNFIT = (
    (LoRA(r=33), r"r = 33 is larger than the 32 of blocks\.0\.attn\.qkv \(q: 32 to 32\)"),
    (LNLoRA(r=33, components=("fc2",)), r"r = 33 is larger than the 32 of blocks\.0\.mlp\.fc2 \(fc2: 128 to 32\)"),
    (FullLoRA(r=40), r"r = 40 is larger than the 32 of patch_embed\.proj"),
    (PeftLoRA(r=33), r"r = 33 is larger than the 32 of blocks\.0\.attn\.qkv"),
    (PerHeadLoRA(r=17), r"r = 17 is larger than the 16 of a head of blocks\.0\.attn\.qkv"),
    (LoRA(r=2, rank_pattern=(RankRule(64, ("v",), (1,)),)), r"r = 64 is larger than the 32 of blocks\.1\.attn\.qkv"),
    (LastBlocks(3), "k = 3 is more than the 2 blocks"),
    (LoRA(components=("qq",)), "unknown component 'qq'; did you mean 'q'"),
    (LNLoRA(components=("reduction",)), "this vit has no 'reduction'; it has patch_embed, q, k, v, proj, fc1, fc2"),
    (LoRA(blocks=(2,)), "blocks .* 0 to 1"),
    (Adapter(blocks=(5,)), "0 to 1"),
    (PeftLoRA(target_modules=("qvk",)), "no layer of vit_tiny_patch16_224 is called 'qvk'"),
    (PEFT("dora", {"target_modules": ["qvk"]}), "peft:dora on this network: .*qvk"),
    (LoRA() + LNLoRA(), r"both adapt blocks\.0\.attn\.qkv"),
    (PEFT("dora") + SSF(), r"both adapt blocks\.0\.attn\.proj"),
)
SAVED = (LoRA(r=2), FullLoRA(r=2), VPT(num_prompts=2), PEFT("vera", {"r": 4}), BitFit())


class Trap:
    """Raises when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-7])


def empty(path):
    path.write_bytes(b"")


def break_the_header(path):
    content = bytearray(path.read_bytes())
    content[9] ^= 0xFF
    path.write_bytes(content)


def lengthen_the_header(path):
    path.write_bytes((1 << 40).to_bytes(8, "little") + path.read_bytes()[8:])


def pickle_a_trap(path):
    path.write_bytes(pickle.dumps({"head.weight": Trap()}))


def torch_save_a_trap(path):
    torch.save({"head.weight": Trap()}, path)


def edit(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def drop_one(path):
    edit(path, lambda tensors: tensors.pop(min(tensors)))


def add_one(path):
    edit(path, lambda tensors: tensors.update({"blocks.0.norm1.extra": torch.zeros(3)}))


def reshape_one(path):
    edit(path, lambda tensors: tensors.update({max(tensors): tensors[max(tensors)][None].contiguous()}))


DAMAGES = {
    cut_off: "is damaged",
    empty: "is damaged",
    break_the_header: "is damaged",
    lengthen_the_header: "is damaged",
    pickle_a_trap: "is damaged",
    torch_save_a_trap: "is damaged",
    drop_one: "does not fit .*missing",
    add_one: "does not fit .*unexpected.*blocks.0.norm1.extra",
    reshape_one: "does not fit .*of another shape",
}


@pytest.fixture
def untouched(images):
    """Return a check that a model answers, and holds what it holds, as it did when it was first shown."""
    seen = {}

    def look(model):
        names = {name: type(module) for name, module in model.named_modules()}
        hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
        grads = {name: p.requires_grad for name, p in model.named_parameters()}
        with torch.no_grad():
            return model(images), {n: t.clone() for n, t in model.state_dict().items()}, (names, hooks, grads)

    def check(model):
        if id(model) not in seen:
            seen[id(model)] = look(model)
            return
        (logits, state, rest), (logits_now, state_now, rest_now) = seen[id(model)], look(model)
        assert torch.equal(logits, logits_now)
        assert state.keys() == state_now.keys()
        assert all(torch.equal(tensor, state_now[name]) for name, tensor in state.items())
        assert rest == rest_now
        assert not model.attachments

    return check


@pytest.mark.parametrize("size", [0, -1])
@pytest.mark.parametrize(("technique", "field"), SIZES.items(), ids=lambda x: getattr(x, "__name__", x))
def test_a_size_below_one_is_refused_at_once(technique, field, size):
    with pytest.raises(UserError, match=rf"{field} must be at least 1; got {size}"):
        technique(**{field: size})


@pytest.mark.parametrize(("method", "message"), UNFIT, ids=lambda x: type(x).__name__)
def test_what_does_not_fit_the_network_is_refused_and_changes_nothing(method, message, model, untouched):
    untouched(model)
    with pytest.raises(UserError, match=message):
        method.attach(model)
    untouched(model)


@pytest.mark.parametrize("second", [LoRA(), VPT(), Full(), PEFT("ia3")], ids=repr)
def test_a_second_technique_is_refused_whatever_it_is_and_the_first_still_comes_off(second, model, untouched):
    untouched(model)
    first = LNLoRA(r=2).attach(model)
    with pytest.raises(UserError, match="already carries LNLoRA"):
        second.attach(model)
    first.detach()
    untouched(model)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("method", SAVED, ids=repr)
def test_damaged_weights_are_refused_and_the_model_stays_bare(method, damage, build, untouched, tmp_path):
    method.attach(build()).save(tmp_path)
    damage(tmp_path / WEIGHTS)
    model = build()
    untouched(model)
    with pytest.raises(UserError, match=DAMAGES[damage]):
        load_adapter(model, tmp_path)
    untouched(model)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vit_tiny_patch16_224", {"depth": 1}, "blocks|does not fit|belongs to other weights"),
        ("vit_tiny_patch16_224", {"depth": 3}, "does not fit|belongs to other weights"),
        ("vit_tiny_patch16_224", {"embed_dim": 16}, "does not fit"),
        ("vit_tiny_patch16_224", {"classes": 4}, "does not fit .*head"),
        ("vit_tiny_patch16_224", {"seed": 1}, "belongs to other weights of vit_tiny_patch16_224: its digest"),
        ("deit_tiny_distilled_patch16_224", {}, "does not fit .*head_dist"),
    ],
)
@pytest.mark.parametrize("method", SAVED, ids=repr)
def test_an_adapter_for_another_model_is_refused_and_the_model_stays_bare(
    method, name, options, message, build, untouched, tmp_path
):
    method.attach(build()).save(tmp_path)
    other = build(name, **options)
    untouched(other)
    with pytest.raises(UserError, match=message):
        load_adapter(other, tmp_path)
    untouched(other)


@pytest.mark.parametrize("method", SAVED, ids=repr)
def test_the_weights_of_another_technique_are_refused(method, build, untouched, tmp_path):
    method.attach(build()).save(tmp_path / "one")
    Adapter(bottleneck=2).attach(build()).save(tmp_path / "other")
    (tmp_path / "one" / WEIGHTS).write_bytes((tmp_path / "other" / WEIGHTS).read_bytes())
    model = build()
    untouched(model)
    with pytest.raises(UserError, match=r"does not fit|damaged"):
        load_adapter(model, tmp_path / "one")
    untouched(model)


@pytest.mark.parametrize("change", [{"r": 0}, {"r": "many"}, {"rank": 3}, {"components": ["qq"]}], ids=repr)
def test_a_config_that_was_edited_into_nonsense_is_refused(change, build, untouched, tmp_path):
    LNLoRA(r=2).attach(build()).save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    config["method"] |= change
    (tmp_path / CONFIG).write_text(json.dumps(config))
    model = build()
    untouched(model)
    with pytest.raises(UserError, match=r"method|unknown component"):
        load_adapter(model, tmp_path)
    untouched(model)
