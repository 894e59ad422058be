import pytest
import torch

from robustpeft.types import UserError, check_images, check_labels

GOOD = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("images", [GOOD, GOOD.half(), GOOD.double(), torch.zeros(0, 3, 4, 4), GOOD.round()])
def test_float_batches_in_the_unit_box_pass(images):
    check_images(images)


def test_rounding_just_outside_the_box_passes_and_a_thousandth_does_not():
    check_images(torch.tensor([-5e-7, 0.5, 1 + 5e-7]).reshape(1, 3, 1, 1))
    with pytest.raises(UserError):
        check_images(torch.tensor([0.0, 0.5, 1.001]).reshape(1, 3, 1, 1))
    with pytest.raises(UserError):
        check_images(torch.tensor([-0.001, 0.5, 1.0]).reshape(1, 3, 1, 1))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (GOOD[0], r"shape \(batch, 3, height, width\); got \(3, 4, 5\)"),
        (GOOD[:, :1], r"got \(2, 1, 4, 5\)"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.uint8), r"floating point in \[0, 1\]; got torch\.uint8 \(divide .* 255\)"),
        (GOOD * 0 + 255, r"found \[255, 255\] \(they look like 8-bit values: divide by 255\)"),
        (GOOD * 0 - 1.5, r"found \[-1\.5, -1\.5\] \(they look normalised: .*inside the model\)"),
        (GOOD * 0 + 2, r"found \[2, 2\] \(clamp them, or divide by their scale\)"),
        (GOOD * float("nan"), r"found \[nan, nan\] \(some values are not numbers\)"),
    ],
)
def test_anything_else_is_refused_with_what_was_found_and_what_it_means(images, message):
    with pytest.raises(UserError, match=message):
        check_images(images)


def test_images_that_require_grad_can_be_checked():
    check_images(GOOD.clone().requires_grad_())


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_integer_labels_within_the_classes_pass(dtype):
    check_labels(torch.tensor([0, 2, 1], dtype=dtype), num_classes=3, batch=3)
    check_labels(torch.zeros(0, dtype=dtype), num_classes=3, batch=0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0.0, 1.0]), r"integers of shape \(batch,\); got torch\.float32 \(2,\)"),
        (torch.tensor([True, False]), r"got torch\.bool"),
        (torch.tensor([[0], [1]]), r"got torch\.int64 \(2, 1\)"),
        (torch.tensor([0]), "2 images came with 1 labels"),
        (torch.tensor([0, 3]), r"in \[0, 3\); found 0 to 3"),
        (torch.tensor([-1, 2]), r"in \[0, 3\); found -1 to 2"),
    ],
)
def test_other_labels_are_refused_with_what_was_found(labels, message):
    with pytest.raises(UserError, match=message):
        check_labels(labels, num_classes=3, batch=2)


def test_without_a_class_count_only_negative_labels_are_refused():
    check_labels(torch.tensor([999]))
    with pytest.raises(UserError, match="at least 0; found -1 to 4"):
        check_labels(torch.tensor([4, -1]))
