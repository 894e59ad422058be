import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from robustpeft.cli import demo as demo_command
from robustpeft.records import AuditRecord, DataInfo, Measurement, Rate, Subject
from robustpeft.study.grid import arms_of, read_study


def test_options_reach_the_demo_and_the_report_is_named_last(
    monkeypatch: pytest.MonkeyPatch, type_in: Callable[..., Any]
) -> None:
    given: dict[str, Any] = {}
    record = AuditRecord(
        Subject("LoRA", "digits_vit", "b" * 64, 100, 400),
        DataInfo("photos", "test", 4, ("cat", "dog"), (16, 16), "d" * 64),
        (Measurement("clean", "clean", "clean", Rate(3, 4), (Rate(2, 2), Rate(1, 2))),),
    )

    def demo(output: Path, **options: Any) -> SimpleNamespace:
        given.update(options, output=output)
        options["reporter"].phase("tuning: LoRA")
        return SimpleNamespace(records=(record,), report=output / "report.html")

    fake = ModuleType("robustpeft.study.demo")
    fake.demo = demo  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "robustpeft.study.demo", fake)
    compared: list[Any] = []
    monkeypatch.setattr(demo_command, "study", lambda words, **options: compared.append((words, options)))
    ended = type_in("demo", "--output", "there", "--with-full", "--seed", "3", "--overwrite")
    assert ended.status == 0, ended.err
    given.pop("reporter")
    assert given == {"output": Path("there"), "with_full": True, "seed": 3, "overwrite": True}
    lines = ended.out.splitlines()
    assert lines[0] == "tuning: LoRA"
    assert "75.0 %" in ended.out
    assert "robustpeft tune fulllora-folder data.path=PHOTOS" in ended.out
    assert lines[-2] == "report: there/report.html"
    ((words, options),) = compared
    assert (words, options["output"]) == (["fulllora"], Path("there/comparison"))
    assert "full tuning" in {arm.label for arm in arms_of(read_study(words[0], options["scale"], ()))}

    ended = type_in("demo", "--output", "there")
    assert ended.out.splitlines()[-1] == "report: there/report.html"
    assert len(compared) == 1
