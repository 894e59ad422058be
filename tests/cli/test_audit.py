import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from robustpeft.records import AuditRecord, read_record


def audit(place: Any, type_in: Callable[..., Any], *more: object) -> AuditRecord:
    ended = type_in("audit", place.run(), *more, "--device", "cpu")
    assert ended.status == 0, ended.err
    return read_record(place.path / "run" / "audit" / "lora")


def test_record_and_report_are_written_and_the_report_is_named_last(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("audit", place.run(), "--device", "cpu")
    folder = place.path / "run" / "audit"
    assert ended.out.splitlines()[-1] == f"report: {folder / 'report.html'}"
    assert (folder / "report.md").is_file()
    assert "Clean" in ended.out
    assert read_record(folder / "lora")["clean"].correct.n == read_record(folder / "lora").data.n


def test_the_plan_is_the_recipes(place: Any, type_in: Callable[..., Any]) -> None:
    record = audit(place, type_in)
    keys = ["clean", "fgsm@linf:0.05", "fgsm@linf:0.1", "transfer@linf:0.1", "pixel_drop@0.5"]
    assert [m.key for m in record.measurements] == keys
    assert (record.data.name, record.data.split) == ("photos", "test")


def test_options_replace_parts_of_the_plan(place: Any, type_in: Callable[..., Any]) -> None:
    record = audit(
        place,
        type_in,
        "--attack",
        "pgd:steps=2,restarts=2",
        "--attack",
        "fgsm",
        "--norm",
        "l2",
        "--images",
        "3",
        "--epsilons",
        "1/255, 0.5",
        "--seed",
        "7",
        "--split",
        "validation",
        "--batch-size",
        "2",
    )
    attacks = record.of("attack")
    keys = {"pgd@l2:1/255", "pgd@l2:0.5", "fgsm@l2:1/255", "fgsm@l2:0.5", "transfer@l2:0.5"}
    assert {m.key for m in attacks} == keys
    assert record["pgd@l2:0.5"].settings["restarts"] == 2
    assert (record.data.n, record.data.split, record.seed) == (3, "validation", 7)


def test_other_data_can_be_named(place: Any, type_in: Callable[..., Any]) -> None:
    (place.path / "photos").rename(place.path / "moved")
    assert audit(place, type_in, "--data", place.path / "moved").data.name == "moved"


def test_several_runs_stand_in_one_report_on_the_same_images(place: Any, type_in: Callable[..., Any]) -> None:
    place.run("first"), place.run("second")
    ended = type_in("audit", "first", "second", "--output", "both", "--device", "cpu")
    assert ended.status == 0, ended.err
    records = [read_record(place.path / "both" / name) for name in ("lora-first", "lora-second")]
    assert [record.subject.label for record in records] == ["LoRA (first)", "LoRA (second)"]
    for one, other in zip(*(record.rows for record in records), strict=True):
        assert one.predictions == {k: v for k, v in other.predictions.items() if not k.startswith("sibling")}
    assert "LoRA (first)" in (place.path / "both" / "report.html").read_text()


def test_an_audit_is_only_replaced_when_asked(place: Any, type_in: Callable[..., Any]) -> None:
    first = audit(place, type_in)
    again = type_in("audit", "run", "--seed", "1", "--overwrite", "--device", "cpu")
    assert again.status == 0
    assert (first.seed, read_record(place.path / "run" / "audit" / "lora").seed) == (0, 1)


def test_one_that_was_broken_off_is_in_the_way_until_it_is_to_be_replaced(
    place: Any, type_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("robustpeft.study.audit_model.write_record", killed)
        type_in("audit", place.run(), "--device", "cpu")
    ledger = place.path / "run" / "audit" / "lora" / "ledger"
    assert ledger.is_dir()
    refused = type_in("audit", "run", "--seed", "1", "--device", "cpu")
    assert refused.status == 2
    assert "holds another audit that was broken off; overwrite it, or give another output" in refused.err
    again = type_in("audit", "run", "--seed", "1", "--overwrite", "--device", "cpu")
    assert again.status == 0, again.err
    assert read_record(ledger.parent).seed == 1


@pytest.mark.parametrize("width", [None, 2])
def test_undefended_is_the_backbone_without_what_was_trained(
    place: Any, type_in: Callable[..., Any], width: int | None
) -> None:
    from safetensors.torch import save_file

    from robustpeft.backbones import load_backbone

    weights = place.path / "two.safetensors"
    save_file(load_backbone("digits_vit", num_classes=2, weights=None).network.state_dict(), weights)
    asked = [] if width is None else [f"backbone.num_classes={width}"]
    assert type_in(*place.tune(f"backbone.weights={weights}", "training.epochs=1", *asked)).status == 0
    ended = type_in("audit", "new", "--undefended", "--device", "cpu")
    assert ended.status == 0, ended.err
    undefended = read_record(place.path / "new" / "audit" / "undefended").subject
    assert (undefended.label, undefended.method, undefended.num_trained) == ("undefended", None, 0)
    assert undefended.trained_threat is None
    tuned = read_record(place.path / "new" / "audit" / "lora").subject
    assert undefended.backbone_digest == tuned.backbone_digest
    assert tuned.num_trained > 0


def test_undefended_with_a_new_head_is_a_linear_probe_and_called_so(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("audit", place.run(), "--undefended", "--device", "cpu")
    assert ended.status == 0, ended.err
    record = read_record(place.path / "run" / "audit" / "undefended-linear-probe")
    assert record.subject.label == "undefended (linear probe)"
    assert (record.subject.method, record.subject.trained_threat) == (None, None)


def test_a_run_of_another_image_size_is_refused_before_any_attack(place: Any, type_in: Callable[..., Any]) -> None:
    place.run()
    assert type_in(*place.tune("backbone.image_size=24", "training.epochs=1")).status == 0
    ended = type_in("audit", "run", "new", "--output", "both", "--device", "cpu")
    assert ended.status == 2
    assert "same epsilon means another thing" in " ".join(ended.err.split())
    assert not (place.path / "both").exists()


def test_a_run_of_other_classes_is_refused_before_any_attack(place: Any, type_in: Callable[..., Any]) -> None:
    place.run()
    file = place.run("other") / "robustpeft.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | {"classes": said["classes"][::-1]}))
    ended = type_in("audit", "run", "other", "--output", "both", "--device", "cpu")
    assert ended.status == 2
    assert "do not know the same classes" in ended.err
    assert not (place.path / "both").exists()


def test_a_profile_says_how_long_it_may_take_and_options_still_win(place: Any, type_in: Callable[..., Any]) -> None:
    asked = ("--profile", "standard", "--attack", "fgsm", "--images", "4")
    ended = type_in("audit", place.run(), *asked, "--device", "cpu")
    assert ended.status == 0, ended.err
    said = " ".join(ended.err.split())
    assert re.search(r"fgsm within every radius, square \(5,000 questions\) .* on 4 images; at most \d+ min", said)
    record = read_record(place.path / "run" / "audit" / "lora")
    assert ({m.name for m in record.of("attack")}, record.data.n) == ({"fgsm", "square", "transfer"}, 4)
    assert {check.key for check in record.checks} > {"input_range", "beyond_one_step"}


def test_an_unknown_profile_is_refused(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("audit", place.run(), "--profile", "standart", "--device", "cpu")
    assert ended.status == 2
    assert "did you mean 'standard'" in ended.err


def test_a_strangers_weights_are_audited_and_what_was_found_stands_in_record_and_report(
    place: Any, type_in: Callable[..., Any]
) -> None:
    ended = type_in(
        *("audit", "digits_vit", "--data", "digits", "--images", "20", "--attack", "fgsm", "--epsilons", "0.05"),
        *("--claimed-clean", "0.95", "--device", "cpu"),
    )
    assert ended.status == 0, ended.err
    record = read_record(place.path / "audits" / "digits_vit" / "digits_vit")
    assert record.introduction is not None
    found = {finding.key: finding for finding in record.introduction.findings}
    assert (found["normalization"].value, found["class_order"].value) == ("half", "data")
    assert next(check for check in record.checks if check.key == "claimed_clean").verdict == "pass"
    assert "8-bit RGB" in record.data.outside[0]
    report = (place.path / "audits" / "digits_vit" / "report.html").read_text(encoding="utf-8")
    assert "reach" in report
    assert "cifar10" in report


def test_a_factory_takes_options_and_is_not_imported_without_trust(place: Any, type_in: Callable[..., Any]) -> None:
    place.write("strangers_own.py", "def make(width):\n    return width\n")
    for more, said in ((("--trust",), "it returned int"), ((), "nothing was imported")):
        ended = type_in("audit", "strangers_own:make", "--data", place.photos, "--option", "width=7", *more)
        assert ended.status == 2
        assert said in " ".join(ended.err.split())


def test_ctrl_c_says_where_it_stands_and_the_same_command_goes_on(
    place: Any, type_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from robustpeft.auditing import run

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    words = ["audit", place.run(), "--device", "cpu"]
    with monkeypatch.context() as patch:
        patch.setattr(run, "find_smallest", interrupt)
        ended = type_in(*words)
    assert ended.status == 130
    said = " ".join(ended.err.split())
    assert "interrupted in transfer@linf:0.1 of LoRA" in said
    assert "every result so far is kept: go on with robustpeft" in said
    assert "Traceback" not in ended.err
    assert type_in(*words).status == 0


def test_ctrl_c_under_overwrite_does_not_promise_that_finished_models_are_left_alone(
    place: Any, type_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from robustpeft.auditing import run

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "find_smallest", interrupt)
    ended = type_in("audit", place.run(), "--overwrite", "--device", "cpu")
    assert ended.status == 130
    said = " ".join(ended.err.split())
    assert "every result so far is kept" not in said
    assert "the results of this model are kept, but --overwrite audits any before it again: go on with" in said


def test_ctrl_c_before_anything_was_measured_is_as_calm(
    place: Any, type_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from robustpeft.study import audit_runs

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(audit_runs, "meet", interrupt)
    ended = type_in("audit", place.run(), "--device", "cpu")
    assert ended.status == 130
    assert "interrupted before the first measurement; begin again with" in " ".join(ended.err.split())
