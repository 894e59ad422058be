import numpy as np
import pytest
from PIL import Image

from robustpeft.data.survey import survey
from robustpeft.errors import UserError


def picture(seed: int, size: tuple[int, int] = (80, 60), grey: bool = False) -> Image.Image:
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 1 if grey else 3), dtype=np.uint8)
    return Image.fromarray(np.repeat(blocks, 3, axis=2) if grey else blocks).resize(size, Image.Resampling.BICUBIC)


def folder(root, classes=("cat", "dog"), count=4):
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(count):
            picture(100 * number + i).save(root / name / f"{i}.png")
    return root


def test_every_file_is_counted_and_described(tmp_path):
    seen = survey(folder(tmp_path))
    assert seen.counts == {"cat": 4, "dog": 4}
    assert seen.opened == 8
    first = seen.photographs[0]
    assert (first.path, first.class_name, first.width, first.height, first.kind) == ("cat/0.png", "cat", 80, 60, "PNG")
    assert (first.grey, first.turned, seen.broken, seen.copies) == (False, False, (), ())


def test_sizes_are_those_of_the_upright_photograph(tmp_path):
    folder(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(7).save(tmp_path / "cat" / "turned.jpg", exif=exif)
    (turned,) = [p for p in survey(tmp_path).photographs if p.turned]
    assert (turned.path, turned.width, turned.height) == ("cat/turned.jpg", 60, 80)


def test_grey_is_told_from_colour_also_where_it_is_stored_as_colour(tmp_path):
    folder(tmp_path)
    picture(7, grey=True).save(tmp_path / "cat" / "grey.jpg")
    picture(8, grey=True).convert("L").save(tmp_path / "cat" / "one_channel.png")
    assert [p.path for p in survey(tmp_path).photographs if p.grey] == ["cat/grey.jpg", "cat/one_channel.png"]


def test_broken_files_are_named_with_their_reason(tmp_path):
    folder(tmp_path)
    (tmp_path / "cat" / "x.jpg").write_bytes(b"no image")
    whole = (tmp_path / "dog" / "0.png").read_bytes()
    (tmp_path / "dog" / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "dog" / "empty.png").touch()
    seen = survey(tmp_path)
    assert [b.name for b in seen.broken] == ["cat/x.jpg", "dog/empty.png", "dog/half.png"]
    assert all(b.reason for b in seen.broken)


def test_copies_are_found_exact_and_near(tmp_path):
    folder(tmp_path)
    (tmp_path / "dog" / "same.png").write_bytes((tmp_path / "cat" / "1.png").read_bytes())
    Image.open(tmp_path / "dog" / "2.png").save(tmp_path / "dog" / "again.jpg", quality=80)
    found = {(c.name, c.copy_name): c.exact for c in survey(tmp_path).copies}
    assert found == {("cat/1.png", "dog/same.png"): True, ("dog/2.png", "dog/again.jpg"): False}


def test_a_large_folder_is_looked_into_evenly_and_says_how_far_it_is(tmp_path):
    folder(tmp_path, count=10)
    told = []
    seen = survey(tmp_path, most=4, observer=lambda done, of: told.append((done, of)))
    assert [p.path for p in seen.photographs] == ["cat/0.png", "cat/5.png", "dog/0.png", "dog/5.png"]
    assert (seen.opened, len(seen.content.images), told) == (4, 20, [(4, 4)])


def test_a_large_jpeg_is_the_same_photograph_whether_decoded_small_or_whole(tmp_path):
    folder(tmp_path)
    picture(9, (2000, 1500)).save(tmp_path / "cat" / "large.jpg", quality=95)
    picture(9, (500, 375)).save(tmp_path / "cat" / "small.png")
    seen = survey(tmp_path)
    assert [(c.name, c.copy_name) for c in seen.copies] == [("cat/large.jpg", "cat/small.png")]
    assert next(p for p in seen.photographs if p.path == "cat/large.jpg").width == 2000


def test_no_class_folders_is_said(tmp_path):
    picture(1).save(tmp_path / "loose.png")
    with pytest.raises(UserError, match="no class folders"):
        survey(tmp_path)
