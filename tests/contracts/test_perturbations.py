"""Every entry of PERTURBATIONS keeps what `Perturbation` promises."""

import dataclasses
import importlib
import inspect
import json
import pkgutil

import pytest
import torch

import robustpeft.perturbations as room
from robustpeft.perturbations import PERTURBATIONS, Perturbation
from robustpeft.types import UserError

# For 16 x 16 images: fields without a default besides the strength, and strengths (none, mild, strong).
EXAMPLES = {
    "patch_drop": ({"patch_size": 4}, (0.0, 0.25, 0.75)),
    "pixel_drop": ({}, (0.0, 0.25, 0.75)),
    "patch_shuffle": ({}, (1, 2, 8)),
    "gaussian_noise": ({}, (0.0, 0.05, 0.5)),
    "rotation": ({}, (0.0, 15.0, 90.0)),
    "translation": ({}, (0.0, 0.3, 1.0)),
    "corruption": ({"kind": "motion_blur"}, (0, 2, 5)),
}


@pytest.fixture
def images():
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=sorted(PERTURBATIONS))
def name(request):
    return request.param


@pytest.fixture
def mild(name):
    return build(name, 1)


def build(name, level, **changes):
    fields, strengths = EXAMPLES[name]
    cls = PERTURBATIONS[name]
    return cls(**{cls.strength_field: strengths[level]}, **fields, **changes)


def test_every_perturbation_of_the_package_is_in_the_table():
    found = {}
    for module_info in pkgutil.iter_modules(room.__path__):
        module = importlib.import_module(f"{room.__name__}.{module_info.name}")
        for cls in vars(module).values():
            concrete = isinstance(cls, type) and issubclass(cls, Perturbation) and not inspect.isabstract(cls)
            if concrete and cls.__module__ == module.__name__:
                found[module_info.name] = cls
    assert dict(PERTURBATIONS) == found


def test_the_class_is_the_camel_case_of_the_key_and_exported(name):
    cls = PERTURBATIONS[name]
    assert cls.__name__ == "".join(word.capitalize() for word in name.split("_"))
    assert cls.__name__ in room.__all__


def test_the_value_is_frozen_hashable_and_comes_back_from_json(mild):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(mild, mild.strength_field, 0)
    assert len({mild, dataclasses.replace(mild)}) == 1
    assert type(mild)(**json.loads(json.dumps(dataclasses.asdict(mild)))) == mild


def test_the_strength_is_the_field_named_and_can_be_replaced(name, mild):
    strong = EXAMPLES[name][1][2]
    assert mild.strength == getattr(mild, mild.strength_field)
    assert mild.with_strength(float(strong)) == build(name, 2)
    assert mild == build(name, 1)


def test_an_impossible_strength_is_refused(mild):
    with pytest.raises(UserError, match=f"{mild.strength_field} must be .*-0.5"):
        mild.with_strength(-0.5)
    with pytest.raises(UserError, match=f"{mild.strength_field} must be .*nan"):
        mild.with_strength(float("nan"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_result_is_a_new_tensor_of_the_same_kind_in_the_unit_box(name, images, dtype):
    images = images.to(dtype)
    before = images.clone()
    result = build(name, 2)(images)
    assert (result.shape, result.dtype, result.device) == (images.shape, images.dtype, images.device)
    assert 0 <= result.min() <= result.max() <= 1
    assert result.data_ptr() != images.data_ptr()
    assert torch.equal(images, before)
    assert not torch.equal(result, images)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_strength_zero_is_the_identity_bit_for_bit_but_no_alias(name, images, dtype):
    images = images.to(dtype)
    result = build(name, 0)(images)
    assert torch.equal(result, images)
    assert result.data_ptr() != images.data_ptr()


def test_the_seed_decides_and_nothing_else_does(mild, images):
    torch.manual_seed(0)
    first = mild(images, seed=3)
    torch.manual_seed(1)
    assert torch.equal(first, mild(images, seed=3))
    assert not torch.equal(first, mild(images, seed=4))


def test_the_global_random_state_is_untouched(mild, images):
    before = torch.get_rng_state()
    mild(images)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("per_batch", [False, True])
def test_the_batch_around_an_image_does_not_matter(name, images, per_batch):
    perturbation = build(name, 1, per_batch=per_batch)
    together = perturbation(images, seed=1)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.equal(perturbation(images[order], seed=1), together[order])
    alone = torch.cat([perturbation(images[i : i + 1], seed=1) for i in range(5)])
    assert torch.equal(alone, together)


def test_ids_are_the_key_of_each_image(mild, images):
    same = images[:1].expand(3, -1, -1, -1)
    result = mild(same, ids=torch.tensor([7, 8, 7]))
    assert torch.equal(result[0], result[2])
    assert not torch.equal(result[0], result[1])


def test_per_batch_treats_all_images_alike_and_still_follows_the_seed(name, images):
    perturbation = build(name, 1, per_batch=True)
    same = images[:1].expand(3, -1, -1, -1)
    result = perturbation(same, ids=torch.tensor([7, 8, 9]))
    assert torch.equal(result, result[:1].expand_as(result))
    assert not torch.equal(result, perturbation(same, seed=1, ids=torch.tensor([7, 8, 9])))


def test_an_empty_batch_stays_empty(mild):
    assert mild(torch.zeros(0, 3, 16, 16)).shape == (0, 3, 16, 16)


def test_what_is_not_an_image_in_the_unit_box_is_refused(mild, images):
    with pytest.raises(UserError, match=r"\[0, 1\].*divide by 255"):
        mild(images * 255)
    with pytest.raises(UserError, match="shape"):
        mild(images[0])


@pytest.mark.parametrize("ids", [torch.arange(4), torch.arange(5.0), torch.zeros(5, 1, dtype=torch.int64)])
def test_ids_that_do_not_name_every_image_are_refused(mild, images, ids):
    with pytest.raises(UserError, match=r"ids must be integers of shape \(5,\)"):
        mild(images, ids=ids)
