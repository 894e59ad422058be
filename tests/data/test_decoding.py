import io

import numpy as np
import pytest
from PIL import Image

from robustpeft.data import decoding
from robustpeft.data.decoding import BrokenImageError, open_image, to_rgb


def stored(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixel(image: Image.Image) -> tuple[int, ...]:
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


def test_exif_rotation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    lying = Image.new("RGB", (40, 20), "black")
    lying.paste("white", (0, 0, 20, 20))
    upright = open_image(stored(lying, "JPEG", exif=exif))
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5))[0] > 200
    assert upright.getpixel((10, 35))[0] < 50


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (2, 2), 77), (77, 77, 77)),
        (Image.new("1", (2, 2), 1), (255, 255, 255)),
        (Image.new("RGBA", (2, 2), (200, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (2, 2), (200, 10, 0, 255)), (200, 10, 0)),
        (Image.new("LA", (2, 2), (0, 51)), (204, 204, 204)),
        (Image.fromarray(np.full((2, 2), 65535, np.uint16)), (255, 255, 255)),
        (Image.fromarray(np.full((2, 2), 257 * 7, np.uint16)), (7, 7, 7)),
    ],
)
def test_every_kind_of_pixel_becomes_opaque_rgb(image, expected):
    assert pixel(to_rgb(image)) == expected
    assert pixel(open_image(stored(image))) == expected


def test_a_transparent_palette_entry_becomes_white():
    image = Image.new("P", (2, 2), 0)
    image.putpalette([10, 20, 30])
    assert pixel(open_image(stored(image))) == (10, 20, 30)
    assert pixel(open_image(stored(image, transparency=0))) == (255, 255, 255)


def test_cmyk_without_ink_is_white():
    assert pixel(open_image(stored(Image.new("CMYK", (2, 2), (0, 0, 0, 0)), "TIFF"))) == (255, 255, 255)
    assert pixel(open_image(stored(Image.new("CMYK", (2, 2), (0, 255, 255, 0)), "TIFF"))) == (255, 0, 0)


def test_pixels_without_an_agreed_range_are_refused():
    with pytest.raises(BrokenImageError, match="floating-point"):
        open_image(stored(Image.new("F", (2, 2), 0.5), "TIFF"))
    with pytest.raises(BrokenImageError, match="do not fit 16 bits"):
        open_image(stored(Image.new("I", (2, 2), 70000), "TIFF"))


def test_a_truncated_image_is_refused():
    whole = stored(Image.effect_noise((64, 64), 50))
    with pytest.raises(BrokenImageError):
        open_image(whole[: len(whole) // 2])


def test_a_text_is_not_an_image():
    with pytest.raises(BrokenImageError, match="not an image"):
        open_image(b"hello")


@pytest.mark.parametrize("limit", [30, 60])  # Pillow raises above twice its limit and warns above it
def test_a_decompression_bomb_is_refused(monkeypatch, limit):
    content = stored(Image.new("L", (10, 10)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(BrokenImageError, match="pixels"):
        open_image(content)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_that_pillow_only_warns_of_is_refused_too(monkeypatch):
    content = stored(Image.new("L", (10, 10)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    with pytest.raises(BrokenImageError, match="100 pixels, more than the 60"):
        open_image(content)


def test_the_limit_holds_where_pillows_was_lifted(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 99)
    with pytest.raises(BrokenImageError, match="100 pixels, more than the 99"):
        open_image(stored(Image.new("RGB", (10, 10))))


def test_more_bytes_than_a_photograph_has_are_not_read(monkeypatch, tmp_path):
    encoded = stored(Image.new("RGB", (10, 10)))
    (tmp_path / "a.png").write_bytes(encoded)
    monkeypatch.setattr(decoding, "MAX_BYTES", len(encoded) - 1)
    for source in (encoded, tmp_path / "a.png"):
        with pytest.raises(BrokenImageError, match="bytes, more than"):
            open_image(source)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "PCX", "TGA"])
def test_a_format_that_is_no_photographs_is_refused_whatever_the_file_is_called(kind, tmp_path):
    Image.new("RGB", (16, 16)).save(tmp_path / "a", kind)
    (tmp_path / "a").rename(tmp_path / "a.jpg")
    with pytest.raises(BrokenImageError):
        open_image(tmp_path / "a.jpg")


def test_a_file_that_is_gone_is_a_broken_image(tmp_path):
    with pytest.raises(BrokenImageError, match="FileNotFound"):
        open_image(tmp_path / "gone.png")
