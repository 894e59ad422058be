"""Records of 40 images in 4 classes, whose every count is known from how they are built."""

import base64
import io
from collections.abc import Callable, Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from robustpeft.records import (
    ArmRecord,
    AuditRecord,
    ContrastRecord,
    DataInfo,
    GalleryItem,
    ImageRow,
    Measurement,
    Rate,
    RunRecord,
    StudyRecord,
    Subject,
    TransferRecord,
    TransferRow,
    TrialRecord,
    write_record,
)

N, CLASSES = 40, ("zero", "one", "two", "three")
EPSILONS = (0.05, 0.1)
HOSTILE = [
    '"><script>alert(1)</script><img src=x onerror=alert(1)>',
    "</title></style></svg><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7 * 191 }}{% raw %}${7*191}#{7*191}",
    "--><!--",
    "\x1b]0;owned\x07\x1b[2J\x9b31m",
    "a\nb\r\n| c | d |\n# e",
    "[bold red]x[/bold red][/nothing]",
    "\u202egnp.exe\u2066",
    "%s%n%d{}{0.__class__}",
    "\\input{/etc/passwd} $\\write18{ls}$ & % #",
    "=HYPERLINK(1)",
    "",
    " ",
]


def png(level: int) -> str:
    buffer = io.BytesIO()
    Image.new("L", (16, 16), level).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def measured(key: str, wrong: set[int], **fields: Any) -> tuple[Measurement, dict[int, int]]:
    """A condition under which exactly the images in `wrong` are misclassified as the next class."""
    predictions = {i: (i + (i in wrong)) % len(CLASSES) for i in range(N)}
    per_class = tuple(Rate(sum(i not in wrong for i in range(c, N, 4)), N // 4) for c in range(4))
    fields = {"kind": "clean", "name": "clean", **fields}
    return Measurement(key=key, correct=Rate(N - len(wrong), N), per_class=per_class, **fields), predictions


def gallery_item(image_id: int = 7, **fields: Any) -> GalleryItem:
    item: dict[str, Any] = {"id": image_id, "label": image_id % 4, "norm": "linf", "epsilon": 0.1}
    item |= {"prediction": image_id % 4, "confidence": 0.98765, "adversarial_prediction": 0}
    item |= {"adversarial_confidence": 0.6, "magnification": 5.0}
    item |= {"original_png": png(10), "adversarial_png": png(20), "difference_png": png(30)}
    return GalleryItem(**(item | fields))


@pytest.fixture(params=HOSTILE)
def evil(request: pytest.FixtureRequest) -> str:
    """A name that would be markup, a command or another line to whoever believes it."""
    return request.param


@pytest.fixture
def make_record() -> Callable[..., AuditRecord]:
    """A factory: `fgsm` and `pgd` are the images misclassified at epsilon 0.1; at 0.05 it is every second of them."""

    def make(
        label: str = "FullLoRA",
        clean: AbstractSet[int] = frozenset({0}),
        fgsm: AbstractSet[int] = frozenset(range(10)),
        pgd: AbstractSet[int] = frozenset(range(5, 25)),
        data: dict[str, Any] | None = None,
        **fields: Any,
    ) -> AuditRecord:
        found = [measured("clean", set(clean))]
        for name, wrong, settings in (("fgsm", fgsm, {}), ("pgd", pgd, {"steps": 20, "restarts": 1})):
            for epsilon in EPSILONS:
                kept = set(sorted(wrong)[:: 1 if epsilon == EPSILONS[-1] else 2])
                about = {"kind": "attack", "name": name, "settings": settings, "strength": epsilon}
                about |= {"threat": {"norm": "linf", "epsilon": epsilon}, "backwards": N * settings.get("steps", 1)}
                found.append(measured(f"{name}@linf:{epsilon:g}", kept, **about))
        for name, field, strengths in (("patch_drop", "ratio", (0.25, 0.5)), ("patch_shuffle", "grid", (2, 4))):
            for index, strength in enumerate(strengths):
                about = {"kind": "perturbation", "name": name, "settings": {field: strength}, "strength": strength}
                found.append(measured(f"{name}@{strength}", set(range(3 + 4 * index)), **about))
        rows = tuple(ImageRow(i, i % 4, {m.key: predicted[i] for m, predicted in found}) for i in range(N))
        subject = Subject(label, "digits_vit", "b" * 64, 100_000, 400_000, {"name": "fulllora", "r": 8})
        info = {"name": "digits", "split": "test", "n": N, "classes": CLASSES, "image_size": (16, 16)}
        made = {
            "subject": fields.pop("subject", subject),
            "data": DataInfo(**(info | {"digest": "d" * 64} | (data or {}))),
            "measurements": tuple(m for m, _ in found),
            "rows": rows,
            "gallery": (gallery_item(),),
            "seed": 17,
            "command": "robustpeft audit runs/a --seed 17",
            "created": "2026-01-31T09:00:00Z",
            "environment": {"torch": "2.11.0", "device": "cpu"},
        }
        return AuditRecord(**(made | fields))

    return make


@pytest.fixture
def transfer_record() -> TransferRecord:
    """Ten images of class 1, three models; model t keeps the first KEPT[s][t] of them under attacks on s."""
    clean, kept = (10, 8, 10), ((1, 4, 7), (6, 2, 7), (7, 6, 3))
    rows = tuple(
        TransferRow(i, 1, tuple(int(i < c) for c in clean), tuple(tuple(int(i < k) for k in line) for line in kept))
        for i in range(10)
    )
    subjects = tuple(Subject(label, "digits_vit", "b" * 64, 100_000, 400_000) for label in ("one", "<two>", "three"))
    return TransferRecord(
        subjects=subjects,
        data=DataInfo("digits", "test", 10, CLASSES, (16, 16), "d" * 64),
        attack={"name": "pgd", "steps": 20},
        threat={"norm": "linf", "epsilon": 0.1},
        rows=rows,
        command="robustpeft compare a b",
        created="2026-01-31T09:00:00Z",
    )


# A study of three arms and two seeds, whose every count is known from how it is built: the images that each misses.
WRONG = {
    "LoRA 1": (range(30), range(32)),
    "LoRA 2": (range(20), range(24)),
    "LoRA 4": (range(12), range(12)),
    "full": (range(10), range(8)),
}
TRAINED = {"LoRA 1": 100, "LoRA 2": 200, "LoRA 4": 400, "full": 10_000}


@pytest.fixture
def study(tmp_path, make_record):
    """At epsilon 0.1 an arm misses `WRONG`, of 40 images, for each of two seeds; at 0.05 every second of them."""
    arms = []
    for label, missed in WRONG.items():
        runs = []
        for seed, wrong in enumerate(missed, 1):
            identity = f"{label.replace(' ', '')}-{seed}"
            subject = Subject("x", "digits_vit", "b" * 64, 10_000, 40_000, {"name": "lora"}, num_trained=TRAINED[label])
            record = make_record(subject=subject, clean=set(range(seed)), fgsm=set(), pgd=set(wrong))
            write_record(record, tmp_path / "store" / identity)
            runs.append(RunRecord(identity, seed, TRAINED[label], 10, 10_000, 400, 1.0))
        trials = tuple(
            TrialRecord(f"t{rate}", {"training.learning_rate": rate}, 50, 40, count, failed=why, diverged=bool(why))
            for rate, count, why in ((0.1, 30, ""), (0.2, 20, ""), (0.3, 0, "not finite"))
        )
        chosen = {"training.learning_rate": 0.1}
        group = label.split()[0]
        edges = ("training.learning_rate",) if label == "full" else ()
        arms.append(ArmRecord("main", label, group, {"method": label}, chosen, edges, trials, tuple(runs)))
    contrasts = (ContrastRecord("full", (), "main"),)
    return StudyRecord(
        "mine", "Which?", "smoke", "../store", tuple(arms), contrasts, ("@misc{a}",), None, Path(tmp_path / "study")
    )
