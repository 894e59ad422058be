import dataclasses
import itertools

import pytest
from hypothesis import given, settings, strategies as st

from robustpeft.attacks import PGD
from robustpeft.auditing import AuditPlan
from robustpeft.backbones import Backbone
from robustpeft.data import Augment, Folder
from robustpeft.objectives import PgdAt
from robustpeft.pet import FullLoRA
from robustpeft.study import Recipe, read_recipe
from robustpeft.study.photographs.commented_recipe import commented_recipe
from robustpeft.training import TrainingPlan
from robustpeft.types import Linf

RECIPE = Recipe(
    backbone=Backbone("vit_tiny_patch16_224", image_size=224),
    data=Folder("/photos"),
    method=FullLoRA(r=8),
    objective=PgdAt(PGD(steps=3, keep="last")),
    threat=Linf(4 / 255),
    training=TrainingPlan(epochs=7, selection_attack=PGD(steps=5)),
    augment=Augment(),
    audit=AuditPlan(epsilons=(1 / 255, 2 / 255, 4 / 255), images=100),
)
HOSTILE = "a\nmethod: {name: full}\r\n\u2028threat: 1 # \x1b[31m ${HOME} {{7*7}} 'q' \"q\""


def back(tmp_path, text):
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    return read_recipe(str(tmp_path / "r.yaml"))


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        dataclasses.replace(RECIPE, threat=Linf(0.013), audit=AuditPlan(epsilons=(0.013 / 3, 0.013))),
        dataclasses.replace(RECIPE, threat=Linf(3 / 255), seed=7, start="/runs/a"),
        dataclasses.replace(RECIPE, backbone=Backbone("vit_base_patch16_224", weights="/w: [x].pth")),
        dataclasses.replace(RECIPE, data=Folder(f"/photos/{HOSTILE}", skip_broken=True)),
        dataclasses.replace(RECIPE, data=Folder("/Fotos/Käse 🧀/- x: y #")),
        dataclasses.replace(RECIPE, training=TrainingPlan(precision="auto", train_images=64)),
    ],
)
def test_reading_it_gives_an_equal_recipe(recipe, tmp_path):
    assert back(tmp_path, commented_recipe(recipe, ["head"], {})) == recipe


def test_every_line_has_a_comment_above_it():
    lines = commented_recipe(RECIPE, ["head"], {"method.r": "because"}).splitlines()
    for above, line in itertools.pairwise(lines):
        if line.strip() and not line.lstrip().startswith(("#", "- ")):
            assert above.lstrip().startswith("# "), line
            assert len(above) - len(above.lstrip()) == len(line) - len(line.lstrip())
    assert any("Because." in line for line in lines)
    assert max(map(len, lines)) <= 120


def test_epsilons_read_as_the_field_writes_them():
    text = commented_recipe(RECIPE, [], {})
    assert "  epsilon: 4/255\n" in text
    assert "epsilons: [1/255, 2/255, 4/255]" in text


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_nothing_in_a_name_can_end_a_comment(name):
    text = commented_recipe(RECIPE, [f"Seen: {name}", name + HOSTILE], {"method.r": name})
    assert [line for line in text.splitlines() if "Seen" in line and not line.startswith("# ")] == []
    assert text.isprintable() or {c for c in text if not c.isprintable()} == {"\n"}


def test_a_value_without_a_line_is_not_lost_in_silence():
    with pytest.raises(ValueError, match="no line of its own"):
        commented_recipe(dataclasses.replace(RECIPE, training=TrainingPlan(optimizer="sgd")), [], {})
