import pytest
import timm
import torch

from robustpeft.backbones import ImageClassifier, Normalize, find_seams


def small_vit(name="vit_tiny_patch16_224", classes=5, seed=0, **sizes):
    """Return a small network of one of timm's ViT families, as a classifier of 16 x 16 images."""
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2} | sizes
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = timm.create_model(name, num_classes=classes, **sizes)
        for parameter in network.parameters():  # timm starts biases at 0 and norms at 1, which would hide mistakes
            parameter.data.add_(0.05 * torch.randn(parameter.shape))
    model = ImageClassifier(
        network, Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)), num_classes=classes, name=name, seams=find_seams(network)
    )
    return model.eval()


@pytest.fixture(scope="session")
def build():
    return small_vit


@pytest.fixture
def model():
    return small_vit()


@pytest.fixture(scope="session")
def images():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def shake():
    """Give all trained parameters of a handle values that a tuning might have reached."""

    def shake(handle, seed=0, size=0.1):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in handle.parameters():
                parameter.add_(size * torch.randn(parameter.shape, generator=generator))

    return shake
