import pytest
import torch
from torch import nn

from robustpeft.backbones import wrap
from robustpeft.data.survey import Photograph, survey
from robustpeft.study.photographs import contact_sheet as room
from robustpeft.study.photographs.contact_sheet import RADII, choose_photographs, contact_sheet


def changes(sheet):
    for row in sheet.rows:
        for radius, version in zip(RADII, row.versions.int(), strict=True):
            yield radius, row.versions[0].int(), version


def test_by_chance_every_value_moves_by_the_whole_radius_until_it_is_black_or_white(photos):
    sheet = contact_sheet(photos, survey(photos).photographs[:3], None)
    for radius, original, version in changes(sheet):
        up, down = (original + radius).clamp(max=255), (original - radius).clamp(min=0)
        assert ((version == up) | (version == down)).all()
        if radius:
            assert 0.45 < (version == up).double().mean() < 0.55
    assert "by chance" in sheet.method
    assert all(row.fooled is None for row in sheet.rows)


def test_the_sheet_depends_on_the_photograph_alone(photos):
    seen = survey(photos).photographs
    alone, among = contact_sheet(photos, seen[2:3], None), contact_sheet(photos, seen[:5], None)
    assert torch.equal(alone.rows[0].versions, among.rows[2].versions)


class Brightness(nn.Module):
    """Says 1 if the mean is above a half: the worst change is every value in one direction."""

    def forward(self, images):
        logit = 60 * (images.mean(dim=(1, 2, 3)) - 0.5)
        return torch.stack([-logit, logit], dim=1)


class At224:
    name = "brightness"

    def load(self):
        model = wrap(Brightness(), num_classes=2, mean=(0, 0, 0), std=(1, 1, 1))
        model.image_size = (224, 224)
        return model


def test_with_a_network_the_change_is_the_worst_within_the_radius(photos):
    seen = survey(photos).photographs[:4]
    sheet = contact_sheet(photos, seen, At224())
    for row in sheet.rows:
        original = row.versions[0].int()
        direction = -1 if original.double().mean() > 127.5 else 1
        for radius, version in zip(RADII, row.versions.int(), strict=True):
            assert (version - original).abs().max() <= radius
            assert torch.equal(version, (original + direction * radius).clamp(0, 255))
        assert row.fooled[0] is False
    assert "brightness" in sheet.method


def test_a_network_of_another_size_is_refused(photos, monkeypatch):
    monkeypatch.setattr(room, "_SIZE", (32, 32))
    with pytest.raises(room.UserError, match="32 pixels"):
        contact_sheet(photos, survey(photos).photographs[:1], At224())


def of_classes(**counts):
    class Found:
        photographs = tuple(
            Photograph(f"{name}/{i}", name, "", 9, 9, "PNG", grey=False, turned=False)
            for name, count in counts.items()
            for i in range(count)
        )

    return Found()


def test_classes_that_were_named_are_shown_first_and_the_rest_evenly():
    many = of_classes(**{f"c{i}": 3 for i in range(20)})
    chosen = [p.class_name for p in choose_photographs(many, ["c7", "c3", "c7", "unknown"])]
    assert chosen[:2] == ["c7", "c3"]
    assert len(set(chosen)) == 6


def test_few_classes_are_shown_several_times():
    chosen = [p.path for p in choose_photographs(of_classes(cat=30, dog=30))]
    assert chosen == ["cat/0", "cat/10", "cat/20", "dog/0", "dog/10", "dog/20"]
    assert len(choose_photographs(of_classes(cat=1, dog=1))) == 2
    assert choose_photographs(of_classes()) == ()
