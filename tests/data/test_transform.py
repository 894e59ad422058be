import torch
from PIL import Image

from robustpeft.data import image_transform, load_data


def test_a_picture_gets_the_pixels_it_has_in_the_data_set(make_folder):
    root = make_folder({"cat": 6})
    data = load_data(root, image_size=(8, 6))
    transform = image_transform((8, 6))
    for i in range(len(data.train)):
        with Image.open(root / data.train.name(i)) as picture:
            assert torch.equal(transform(picture), data.train[i].float() / 255)


def test_without_a_size_the_picture_keeps_its_own(make_picture):
    assert image_transform(None)(make_picture(0, 5, 7)).shape == (3, 5, 7)
