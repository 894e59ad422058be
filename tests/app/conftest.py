"""Two tiny runs of one backbone, tuned once; records whose every count is known; and linear models."""

import dataclasses
import io
import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

import robustpeft as rp
from robustpeft.attacks import PGD
from robustpeft.backbones import Backbone, ImageClassifier, wrap
from robustpeft.data import Digits
from robustpeft.objectives import Natural, PgdAt
from robustpeft.pet import FullLoRA, LoRA
from robustpeft.records import AuditRecord, Check, DataInfo, ImageRow, Measurement, Rate, Subject, write_record
from robustpeft.types import Linf

HOSTILE = "<img src=x onerror=\"document.title='taken'\">${document.title='taken'}{{value}}"
CLASSES = ("zero", "one", HOSTILE, "three")


@pytest.fixture(scope="session")
def hostile() -> str:
    return HOSTILE


@pytest.fixture(scope="session")
def digits():
    whole = Digits().load(16)
    return dataclasses.replace(
        whole, train=whole.train.take(100), validation=whole.validation.take(40), test=whole.test.take(40)
    )


@pytest.fixture(scope="session")
def runs(digits, tmp_path_factory) -> Path:
    """A folder with the runs ``plain`` (LoRA, natural) and ``robust`` (FullLoRA, adversarial)."""
    folder = tmp_path_factory.mktemp("app") / "runs"
    plan = rp.TrainingPlan(epochs=1, batch_size=50, learning_rate=5e-3, selection_attack=PGD(steps=1))
    for name, method, objective, threat in (
        ("plain", LoRA(r=2), Natural(), None),
        ("robust", FullLoRA(r=2), PgdAt(PGD(steps=1, keep="last")), Linf(0.05)),
    ):
        rp.tune(
            Backbone().load(),
            digits,
            output=folder / name,
            method=method,
            objective=objective,
            threat=threat,
            training=plan,
        )
    return folder


@pytest.fixture
def linear() -> Callable[..., ImageClassifier]:
    """A factory of linear models of images (3, 2, 2): the logit of class k is `slopes[k]` times the sum of values."""

    def make(*slopes: float) -> ImageClassifier:
        layer = nn.Linear(12, len(slopes), bias=False)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(slopes)[:, None].expand(-1, 12))
        return wrap(nn.Sequential(nn.Flatten(), layer), num_classes=len(slopes)).eval()

    return make


def build_record(
    label: str = "LoRA",
    clean: frozenset[int] = frozenset({0}),
    attacked: frozenset[int] = frozenset(range(10)),
    checks: tuple[Check, ...] = (),
    **fields: Any,
) -> AuditRecord:
    """A record of 40 images: `clean` and `attacked` are the images that are wrong."""
    found = []
    for key, wrong, about in (
        ("clean", clean, {"kind": "clean", "name": "clean"}),
        (
            "pgd@linf:0.1",
            attacked,
            {
                "kind": "attack",
                "name": "pgd",
                "settings": {"steps": 20, "restarts": 1},
                "strength": 0.1,
                "threat": {"norm": "linf", "epsilon": 0.1},
            },
        ),
    ):
        per_class = tuple(Rate(sum(i not in wrong for i in range(c, 40, 4)), 10) for c in range(4))
        measurement = Measurement(key=key, correct=Rate(40 - len(wrong), 40), per_class=per_class, **about)
        found.append((measurement, {i: (i + (i in wrong)) % 4 for i in range(40)}))
    made = {
        "subject": Subject(label, "digits_vit", "b" * 64, 100_000, 400_000, {"name": "lora", "r": 8}),
        "data": DataInfo("digits", "test", 40, CLASSES, (16, 16), "d" * 64),
        "measurements": tuple(m for m, _ in found),
        "rows": tuple(ImageRow(i, i % 4, {m.key: said[i] for m, said in found}) for i in range(40)),
        "created": "2026-01-31T09:00:00Z",
        "checks": checks,
    }
    return AuditRecord(**(made | fields))


@pytest.fixture
def make_record() -> Callable[..., AuditRecord]:
    return build_record


@pytest.fixture
def check() -> Callable[..., Check]:
    def make(group: str, verdict: str) -> Check:
        return Check("a_check", "Everything is as it should be", verdict, "it is not", "look again", group)

    return make


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """A factory of encoded pictures."""

    def make(kind: str = "PNG", size: tuple[int, int] = (20, 10), mode: str = "RGB") -> bytes:
        buffer = io.BytesIO()
        pixels = random.Random(0).randbytes(size[0] * size[1] * len(mode))
        Image.frombytes(mode, size, pixels).save(buffer, kind)
        return buffer.getvalue()

    return make


GUARD = """
import ipaddress, sys
def watch(event, arguments):
    if event not in ("socket.connect", "socket.getaddrinfo"):
        return
    host = arguments[0] if event == "socket.getaddrinfo" else arguments[1][0]
    host = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    try:
        inside = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside and not (event == "socket.connect" and isinstance(arguments[1], (str, bytes))):
        print("OUTSIDE", event, arguments, file=sys.stderr, flush=True)
sys.addaudithook(watch)
from robustpeft.cli.__main__ import main
main(sys.argv[1:])
"""
"""Runs a command, and tells of every address outside this machine that it looks up or speaks to."""


@dataclasses.dataclass(frozen=True)
class Server:
    """A running ``robustpeft app``."""

    address: str
    process: subprocess.Popen[str]
    errors: Path

    def said(self) -> str:
        return self.errors.read_text()


@contextmanager
def serving(errors: Path, *arguments: str) -> Iterator[Server]:
    command = [sys.executable, "-c", GUARD, "app", *arguments, "--port", "0", "--device", "cpu"]
    with errors.open("w") as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True)
        try:
            line = process.stdout.readline()
            assert line.startswith("page: http://127.0.0.1:"), errors.read_text()
            yield Server(line.split()[1], process, errors)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)


@pytest.fixture(scope="session")
def server(runs, tmp_path_factory) -> Iterator[Server]:
    """The page over three runs, one of them with hostile class names, and three records."""
    pytest.importorskip("gradio", reason="needs robustpeft[app]")
    folder = tmp_path_factory.mktemp("server")
    for name in ("plain", "robust"):
        shutil.copytree(runs / name, folder / name)
    shutil.copytree(runs / "plain", folder / "z-hostile")
    sidecar = folder / "z-hostile" / "robustpeft.json"
    said = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps(said | {"classes": [f"{HOSTILE} {i}" for i in range(10)]}))
    write_record(build_record("LoRA"), folder / "records" / "a")
    write_record(build_record("FullLoRA", attacked=frozenset({1})), folder / "records" / "b")
    write_record(build_record(HOSTILE, attacked=frozenset(range(5, 35))), folder / "records" / "c")
    with serving(folder / "errors.txt", "--runs", str(folder), "--data", "digits") as running:
        yield running


@pytest.fixture(scope="session")
def locked_server(tmp_path_factory) -> Iterator[Server]:
    """A page that asks for a login, over one record."""
    pytest.importorskip("gradio", reason="needs robustpeft[app]")
    folder = tmp_path_factory.mktemp("locked")
    write_record(build_record("LoRA"), folder / "a")
    arguments = ("--runs", str(folder), "--user", "ada", "--password", "secret")
    with serving(folder / "errors.txt", *arguments) as running:
        yield running
