import json

import pytest

from robustpeft.pet.sidecar import check_backbone, describe_backbone, read_sidecar, refuse_foreign
from robustpeft.types import UserError


def test_what_describes_a_model_fits_it_and_no_other(build, tmp_path):
    said = describe_backbone(build())
    check_backbone(build(), said, tmp_path)
    with pytest.raises(UserError, match=f"its digest is {said['backbone_digest'][:12]}"):
        check_backbone(build(seed=1), said, tmp_path)
    with pytest.raises(UserError, match="its digest is None"):
        check_backbone(build(), {}, tmp_path)


def test_a_sidecar_comes_back_from_disk(build, tmp_path):
    said = describe_backbone(build())
    (tmp_path / "x.json").write_text(json.dumps(said))
    assert read_sidecar(tmp_path / "x.json") == said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"x\.json is damaged \(JSONDecodeError"),
        (b"[1]", r"is damaged \(TypeError"),
        (b"\xff", r"is damaged \(UnicodeDecodeError"),
        (b"{}", r"is damaged \(KeyError"),
        (b'{"version": 2}', "has version 2; this robustpeft reads version 1"),
    ],
)
def test_a_sidecar_that_cannot_be_used_is_refused(tmp_path, content, message):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_sidecar(tmp_path / "x.json")


@pytest.mark.parametrize("text", ['{"name": "not_here:Evil"}', "norm: not_here:Evil", "source: 'not_here:Evil'"])
def test_a_class_from_elsewhere_is_named(tmp_path, text):
    (tmp_path / "x").write_text(text)
    with pytest.raises(UserError, match="names not_here:Evil"):
        refuse_foreign([tmp_path / "absent", tmp_path / "x"])


def test_a_norm_of_ours_with_fields_is_no_class_from_elsewhere(tmp_path):
    (tmp_path / "x").write_text("norm: patch:share=0.02,row=0.5")
    refuse_foreign([tmp_path / "x"])
    for evil in ("name: patch:share=0.02", "norm: not_here:Evil:share=0.02"):
        (tmp_path / "x").write_text(evil)
        with pytest.raises(UserError, match="which is not part of robustpeft"):
            refuse_foreign([tmp_path / "x"])


def test_what_was_imported_already_is_welcome(tmp_path):
    (tmp_path / "x").write_text('{"name": "json:JSONDecoder", "label": "not_here:Evil"}')
    refuse_foreign([tmp_path / "x"])
