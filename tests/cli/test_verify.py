from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def audited(place: Any, type_in: Callable[..., Any]) -> Any:
    ended = type_in("audit", place.run(), "--device", "cpu")
    assert ended.status == 0, ended.err
    return place.path / "run" / "audit" / "lora"


def test_what_an_audit_wrote_is_confirmed(audited: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("verify", audited, "--model", "run", "--device", "cpu")
    assert ended.status == 0, ended.out + ended.err
    assert "Confirmed: all" in ended.out
    assert "fgsm@linf:0.1" in ended.out


def test_without_a_model_the_status_says_that_not_all_was_checked(audited: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("verify", audited / "audit.json")
    assert ended.status == 2
    assert "no model was given" in " ".join(ended.out.split())


def test_a_forgery_has_a_status_of_its_own(audited: Any, type_in: Callable[..., Any]) -> None:
    rows = audited / "audit_images.jsonl"
    rows.write_text(rows.read_text().replace('"clean": 0', '"clean": 1'))
    ended = type_in("verify", audited, "--model", "run", "--data", "photos", "--device", "cpu")
    assert ended.status == 1
    assert "Refuted:" in ended.out


def test_perturbations_can_be_left_out(audited: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("verify", audited, "--model", "run", "--without-perturbations", "--device", "cpu")
    assert ended.status == 0
    assert "pixel_drop" not in ended.out


def test_images_that_were_not_kept_cannot_be_asked_about(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("audit", place.run(), "--forget-images", "--output", "out", "--device", "cpu")
    assert ended.status == 0, ended.err
    assert not (place.path / "out" / "lora" / "adversarial").exists()


def test_what_is_no_record_is_bad_input(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("verify", "nowhere")
    assert ended.status == 2
    assert "no audit record at nowhere" in ended.err
