import torch

from robustpeft.auditing.specimens.thermometer import encode, thermometer


def test_the_column_is_as_high_as_the_pixel_is_bright():
    pixels = torch.tensor([0.0, 0.01, 1 / 16, 0.07, 0.5, 1.0])
    code = encode(pixels.reshape(1, 1, 1, 6).expand(1, 3, 1, 6))
    assert code.shape == (1, 3, 16, 1, 6)
    assert code.sum(2)[0, 0, 0].tolist() == [0, 1, 1, 2, 8, 16]
    assert set(code.unique().tolist()) == {0.0, 1.0}
    assert (code.diff(dim=2) <= 0).all()  # no gap in a column


def test_the_model_sees_the_height(model, images):
    assert torch.allclose(thermometer(model)(images), model((images * 16).ceil() / 16), atol=1e-5)
