import pytest
import timm
from torch import nn
from torchvision.models import VisionTransformer as OtherVisionTransformer

from robustpeft.backbones import FAMILIES, SEAM_MAPS, find_seams

SIZES = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 1, "num_heads": 2, "num_classes": 4}
STAGES = {"img_size": 32, "patch_size": 4, "embed_dim": 8, "depths": (1, 1), "num_heads": (1, 1), "window_size": 4}


@pytest.mark.parametrize(
    ("name", "sizes", "family"),
    [
        ("vit_tiny_patch16_224", SIZES, "vit"),
        ("deit_tiny_distilled_patch16_224", SIZES, "vit"),
        ("swin_tiny_patch4_window7_224", STAGES, "swin"),
        ("swinv2_tiny_window8_256", STAGES, "swin"),
        ("convit_tiny", SIZES, "convit"),
        ("vit_small_patch16_dinov3", SIZES, "eva"),
        ("vit_base_patch16_rope_reg1_gap_256", SIZES, "eva"),
    ],
)
def test_a_network_has_the_map_of_its_family(name, sizes, family):
    network = timm.create_model(name, **sizes)
    assert find_seams(network) == FAMILIES[family].seams(network)
    assert find_seams(network).family == family


def test_a_subclass_has_the_map_of_its_base():
    class Own(timm.models.VisionTransformer):
        pass

    own = Own(**SIZES)
    assert find_seams(own).blocks == ("blocks.0",)


def test_other_networks_have_no_map_also_if_their_class_has_the_name_of_another():
    assert find_seams(nn.Linear(2, 2)) is None
    other = OtherVisionTransformer(16, 4, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    assert type(other).__name__ == "VisionTransformer"
    assert find_seams(other) is None


def test_every_family_is_in_the_table_of_maps_and_names_packages():
    assert {family.seams for family in FAMILIES.values()} == set(SEAM_MAPS.values())
    assert {name.partition(".")[0] for name in SEAM_MAPS} == {"timm", "transformers"}
