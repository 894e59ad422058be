import logging

import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.study.targets import Facts
from robustpeft.study.targets.introduce import introduce


def finding(model, key):
    return next(each for each in model.introduction.findings if each.key == key)


def right(model, data):
    batch = next(data.test.batches(len(data.test)))
    return int((model(batch.images).argmax(dim=1) == batch.labels).sum())


def met(shop, options=None, **facts):
    asked = Facts(trust=True, options=options or {}, **facts)
    return introduce(shop.factory(), shop.photos, asked)


@pytest.mark.parametrize(("mean", "std", "name"), [(0.0, 1.0, "none"), (0.5, 0.5, "half"), (0.0, 1 / 255, "bytes")])
def test_the_normalisation_under_which_images_are_recognised_is_found(shop, mean, std, name):
    model, data = met(shop, {"mean": mean, "std": std})
    found = finding(model, "normalization")
    assert (found.value, found.source, found.option) == (name, "probed", f"--normalization {name}")
    assert (found.tried[name], found.n) == (36, 36)
    assert right(model, data) == 36


def test_what_was_found_can_be_said_and_is_then_not_tried(shop):
    probed, _ = met(shop)
    said, _ = met(shop, normalization="half", class_order="data")
    found = finding(said, "normalization")
    assert (found.source, found.tried) == ("given", {})
    images = torch.rand(3, 3, 16, 16)
    assert torch.equal(said(images), probed(images))


def test_outputs_in_the_order_of_text_are_noticed_and_nothing_is_exchanged_unasked(shop):
    as_text = (40, 215, 128)  # class1, class10, class2
    with pytest.raises(UserError, match=r"12 in the data's order, 36 in the lexicographic one.*--class-order lexico"):
        met(shop, {"levels": as_text})
    model, data = met(shop, {"levels": as_text}, class_order="lexicographic")
    assert (right(model, data), finding(model, "class_order").source) == (36, "given")
    model, data = met(shop, {"levels": as_text}, class_order="data")
    assert right(model, data) == 12
    assert finding(model, "class_order").doubtful


def test_an_order_that_is_no_common_one_is_fitted_when_asked(shop):
    turned = (128, 215, 40)
    with pytest.raises(UserError, match="--class-order fitted"):
        met(shop, {"levels": turned})
    model, data = met(shop, {"levels": turned}, class_order="fitted")
    assert right(model, data) == 36


def test_names_of_outputs_put_them_in_their_places_and_leave_others_out(shop):
    model, data = met(shop, {"levels": (128, 90, 40, 215)}, classes="Class2,other,class1,class10")
    assert right(model, data) == 36
    assert model(torch.rand(2, 3, 16, 16)).shape == (2, 3)
    found = finding(model, "classes")
    assert (found.value, found.source) == ("3 of 4", "given")
    assert "the other 1 outputs cannot be predicted" in found.evidence


def test_an_order_beside_names_is_a_contradiction(shop):
    with pytest.raises(UserError, match="would contradict them"):
        met(shop, classes="class1,class2,class10", class_order="natural")


def test_a_small_margin_is_said_aloud(shop, caplog):
    caplog.set_level(logging.INFO)
    met(shop, {"mean": 0.48, "std": 0.5})
    found = next(record for record in caplog.records if "normalization" in record.message)
    assert found.levelno == logging.WARNING
    assert "small" in found.message


def test_a_run_says_it_all_itself(run):
    model, _ = introduce(str(run.path), "digits")
    assert (model.introduction.kind, model.introduction.findings) == ("run", ())
