import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from robustpeft.backbones import Backbone
from robustpeft.errors import UserError
from robustpeft.study import read_recipe
from robustpeft.study.photographs import Given, begin as begin_function
from robustpeft.study.photographs.contact_sheet import RADII

SCRIPTED = Given(hardware="cpu", time="30m", epsilon="2/255", checkpoint="", backbone="vit_tiny_patch16_224")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No network is timed, and none is at hand."""
    import sys

    module = sys.modules["robustpeft.study.photographs.begin"]
    monkeypatch.setattr(module, "seconds_a_pass", lambda backbone, device: 0.01)
    monkeypatch.setattr(module, "weights_at_hand", lambda backbone: None)


def begun(photos, output, given=SCRIPTED, **more):
    told = []
    result = begin_function(photos, output, given, ask=lambda q: q.read(q.default), tell=told.append, **more)
    return result, told


def test_what_is_written_reads_back_and_says_what_comes_next(photos, tmp_path):
    result, told = begun(photos, tmp_path / "out")
    recipe = read_recipe(str(result.recipe))
    assert recipe == result.choice.recipe
    assert (recipe.threat.epsilon, recipe.data.path) == (2 / 255, str(photos))
    text = result.recipe.read_text()
    assert [command for command in result.commands if f"# Next: {command}" not in text] == []
    assert [command.split()[1] for command in result.commands] == ["tune", "tune", "audit", "predict"]
    assert told[0] == "24 photographs of 2 classes: cat 12, dog 12"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "photos-epsilon.html",
        "photos-epsilon.png",
        "photos.yaml",
    ]


def test_the_picture_shows_every_photograph_at_every_radius_pixel_by_pixel(photos, tmp_path):
    result, _ = begun(photos, tmp_path / "out")
    with Image.open(result.picture) as picture:
        assert picture.size == (12 + len(RADII) * (224 + 12), 2 * 44 + 6 * (224 + 24 + 12))


def test_the_page_shows_the_middle_of_every_photograph_at_every_radius_pixel_by_pixel(photos, tmp_path):
    result, _ = begun(photos, tmp_path / "out")
    page = result.page.read_text()
    shown = re.findall(
        r'<img src="data:image/webp;base64,([^"]+)"|--original: url\(data:image/webp;base64,([^)]+)\)', page
    )
    pictures = [Image.open(io.BytesIO(base64.b64decode(a or b))).convert("RGB") for a, b in shown]
    assert len(pictures) == 6 * len(RADII)
    with Image.open(result.picture) as whole:
        edge = (224 - 144) // 2
        for number, small in enumerate(pictures):
            row, column = divmod(number, len(RADII))
            left, top = 12 + column * (224 + 12) + edge, 2 * 44 + row * (224 + 24 + 12) + edge
            assert small.tobytes() == whole.crop((left, top, left + 144, top + 144)).tobytes()
    assert "the middle 144 x 144 of the 224 x 224 pixels" in page
    assert "of all photographs" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_a_page_of_noise_shows_fewer_photographs_and_says_so(photos, tmp_path):
    for file in photos.rglob("*.png"):
        noise = np.random.default_rng(len(file.name)).integers(0, 256, (224, 224, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file)
    result, _ = begun(photos, tmp_path / "out")
    assert result.page.stat().st_size < 2_000_000
    assert re.search(r"of [1-5] of 6 photographs", result.page.read_text())


@pytest.mark.parametrize("moment", ["survey", "write_sheet", "choose", "commented_recipe"])
def test_what_is_broken_off_leaves_nothing(photos, tmp_path, monkeypatch, moment):
    def stop(*_args, **_kwargs):
        raise KeyboardInterrupt

    import sys

    monkeypatch.setattr(sys.modules["robustpeft.study.photographs.begin"], moment, stop)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        begun(photos, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_interruption_at_a_question_leaves_nothing(photos, tmp_path):
    def ask(question):
        if question.option == "--epsilon":
            assert (tmp_path / "out" / "photos-epsilon.html").is_file(), "it is chosen by eye: the sheet must be there"
            raise KeyboardInterrupt
        return question.read(question.default)

    with pytest.raises(KeyboardInterrupt):
        begin_function(photos, tmp_path / "out", Given(hardware="cpu"), ask=ask, tell=lambda line: None)
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_is_replaced_unless_asked_for(photos, tmp_path):
    first, _ = begun(photos, tmp_path)
    before = first.recipe.read_bytes()
    with pytest.raises(UserError, match=r"photos.yaml exists"):
        begun(photos, tmp_path)
    assert first.recipe.read_bytes() == before
    begun(photos, tmp_path, overwrite=True)


def test_a_folder_that_cannot_be_tuned_on_is_refused_after_its_problems_are_told(photos, tmp_path):
    for file in (photos / "dog").iterdir():
        file.unlink()
    told = []
    with pytest.raises(UserError, match="problems stand above"):
        begin_function(photos, tmp_path / "out", SCRIPTED, ask=None, tell=told.append)
    assert any(line.startswith("problem: there is one class only") for line in told)


def test_broken_files_are_left_out_by_the_recipe(photos, tmp_path):
    (photos / "cat" / "x.jpg").write_bytes(b"no image")
    result, told = begun(photos, tmp_path)
    assert result.choice.recipe.data.skip_broken
    assert any("cat/x.jpg" in line for line in told)


@pytest.mark.parametrize("broken", ["all"])
def test_a_folder_of_broken_files_only_is_said(photos, tmp_path, broken):
    for file in photos.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(UserError, match="none of the 24 files"):
        begun(photos, tmp_path)


def test_mistakes_that_hurt_are_answered_with_what_can_be_known(photos, tmp_path):
    given = Given("cpu", ("cat:dog",), "", None, "30m", "2/255")
    result, told = begun(photos, tmp_path, given)
    (said,) = [line for line in told if line.startswith("cat taken for dog")]
    assert "about 2 photographs of cat to test on" in said
    assert "# Hurts: cat taken for dog" in result.recipe.read_text()


def test_a_folder_with_a_hostile_name_makes_files_with_plain_ones(photos, tmp_path):
    hostile = photos.rename(tmp_path / "a b'; rm -rf $HOME\n#<script>alert(1)<")
    result, _ = begun(hostile, tmp_path / "out")
    assert re.fullmatch(r"[\w.-]+\.yaml", result.recipe.name)
    assert read_recipe(str(result.recipe)).data.path == str(hostile)
    assert "<script>" not in result.page.read_text()


def test_classes_with_hostile_names_stay_text(photos, tmp_path):
    name = '"><img src=x onerror=alert(1)>\nstart: x'
    (photos / "cat").rename(photos / name)
    result, told = begun(photos, tmp_path / "out")
    assert "<img src=x" not in result.page.read_text()
    assert read_recipe(str(result.recipe)).start is None
    assert all(line.isprintable() for line in told)


def test_a_checkpoint_tells_which_network_it_is_of(photos, tmp_path):
    from safetensors.torch import save_file

    weights = tmp_path / "w.safetensors"
    save_file({"patch_embed.proj.weight": torch.zeros(384, 3, 16, 16), "pos_embed": torch.zeros(1, 197, 384)}, weights)
    given = Given("cpu", (), str(weights), None, "30m", "2/255")
    recipe = begun(photos, tmp_path / "out", given)[0].choice.recipe
    assert recipe.backbone == Backbone("vit_small_patch16_224", weights=str(weights.resolve()), image_size=224)


def test_a_checkpoint_of_something_else_asks_for_its_name(photos, tmp_path):
    from safetensors.torch import save_file

    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="--backbone"):
        begun(photos, tmp_path / "out", Given("cpu", (), str(tmp_path / "w.safetensors"), None, "30m", "2/255"))
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
