import json

import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.study.targets import Facts, find_target, kind_of, load_target


def test_a_run_is_itself_again_with_nothing_to_probe(run):
    loaded = load_target(str(run.path))
    images = torch.rand(2, 3, 16, 16)
    assert loaded.settled
    assert torch.equal(loaded.model(images), run.model(images))
    assert loaded.model.classes == run.model.classes


def test_a_claim_is_kept_with_the_model(run):
    assert load_target(str(run.path), Facts(claimed_clean=0.9)).model.claimed_clean == 0.9


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"backbone_name": "digits_vit"}, "adapter"),
        ({"backbone_name": "digits_vit", "backbone": None, "threat": None, "tuning": {}}, "run"),
        ({}, "run"),  # damaged, and told so when it is loaded
    ],
)
def test_what_lies_beside_an_adapter_tells_it_from_a_run(tmp_path, said, kind):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "robustpeft.json").write_text(json.dumps({"version": 1} | said))
    assert kind_of(find_target(str(tmp_path))) == kind


def test_tuning_that_was_broken_off_is_told_as_that(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="resume it"):
        load_target(str(tmp_path))
