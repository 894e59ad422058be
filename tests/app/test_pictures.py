import base64
import io
import struct
import weakref
import zlib

import pytest
import torch
from PIL import Image

from robustpeft.app import pictures
from robustpeft.app.pictures import Pictures, data_uri, read_picture
from robustpeft.data.decoding import BrokenImageError
from robustpeft.errors import UserError


def bomb(width, height):
    """A PNG of a few bytes whose header promises so many pixels."""
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", body) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_usual_formats_are_read(encoded, kind):
    image = read_picture(encoded(kind))
    assert image.size == (20, 10)
    assert image.mode == "RGB"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"hello", "not a picture that can be read here"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (bomb(10_000, 10_000), "pixels; at most 50,000,000"),
        (bomb(8_000, 8_000), "64,000,000 pixels; at most 50,000,000"),  # Pillow alone would read it
        (bomb(2_000_000, 2_000_000), "too many pixels"),
        (bomb(30, 30), "Error: "),
    ],
    ids=["empty", "text", "eps", "svg", "bomb", "small bomb", "huge bomb", "cut off"],
)
def test_what_cannot_be_shown_is_refused_with_a_reason(data, message):
    with pytest.raises(BrokenImageError, match=message):
        read_picture(data)


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(pictures, "open_image", lambda data: pytest.fail("decoded"))
    with pytest.raises(BrokenImageError):
        read_picture(bomb(10_000, 10_000))


def test_a_file_cut_short_is_refused(encoded):
    with pytest.raises(BrokenImageError):
        read_picture(encoded("PNG", (100, 100))[:2000])


def test_too_many_bytes_are_refused(monkeypatch, encoded):
    monkeypatch.setattr(pictures, "MOST_BYTES", 100)
    with pytest.raises(BrokenImageError, match="at most 100 are read"):
        read_picture(encoded())


def test_a_picture_is_fitted_as_in_tuning(tmp_path, encoded):
    data = encoded("PNG", (60, 37))
    kept = Pictures()
    found = kept.fitted(kept.add(data), (16, 16))
    (tmp_path / "a.png").write_bytes(data)
    from robustpeft.data import load_images

    assert torch.equal(found, next(load_images(tmp_path, 16).batches(1))[0])


def test_only_the_last_few_are_kept(encoded):
    kept = Pictures(most=2)
    names = [kept.add(encoded(size=(side, side))) for side in (5, 6, 7)]
    with pytest.raises(UserError, match="not kept any more"):
        kept.fitted(names[0], (4, 4))
    assert kept.fitted(names[2], (4, 4)).shape == (3, 4, 4)


def test_what_is_not_kept_takes_no_memory(encoded):
    kept = Pictures(most=1)
    fitted = weakref.ref(kept.fitted(kept.add(encoded(size=(5, 5))), (4, 4)))
    assert fitted() is not None
    kept.add(encoded(size=(6, 6)))
    assert fitted() is None


def test_a_broken_picture_is_not_kept():
    kept = Pictures()
    with pytest.raises(BrokenImageError):
        kept.add(b"hello")
    with pytest.raises(UserError):
        kept.fitted("", (4, 4))


def test_a_data_uri_holds_the_pixels():
    image = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.1
    kind, _, text = data_uri(image).partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        assert picture.size == (4, 5)
        first = picture.getpixel((0, 0))
    assert first == tuple((image[:, 0, 0].clamp(0, 1) * 255).round().int().tolist())
