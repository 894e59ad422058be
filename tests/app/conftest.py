"""Two tiny runs of one backbone, tuned once; records whose every count is known; and linear models."""

import dataclasses
import io
import random
from collections.abc import Callable
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
from robustpeft.records import AuditRecord, Check, DataInfo, ImageRow, Measurement, Rate, Subject
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


@pytest.fixture
def make_record() -> Callable[..., AuditRecord]:
    """A factory of records of 40 images: `clean` and `attacked` are the images that are wrong."""

    def make(
        label: str = "LoRA",
        clean: frozenset[int] = frozenset({0}),
        attacked: frozenset[int] = frozenset(range(10)),
        checks: tuple[Check, ...] = (),
        **fields: Any,
    ) -> AuditRecord:
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

    return make


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
