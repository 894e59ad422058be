import torch

from robustpeft.backbones.digits_vit import DIGITS_VIT, bundled_weights, digits_vit


def test_it_is_a_small_vit_for_16_pixel_images_of_ten_classes():
    network = digits_vit()
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
    assert len(network.blocks) == DIGITS_VIT["depth"]
    assert sum(p.numel() for p in network.parameters()) < 500_000  # float32 under 2 MB


def test_its_parts_can_be_overridden():
    network = digits_vit(num_classes=3, img_size=32, patch_size=8, depth=1)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_the_weights_lie_inside_the_package():
    path = bundled_weights()
    assert path.name == "digits_vit.safetensors"
    assert path.parent.name == "backbones"
