"""What README and docs tell people to type is typed, page by page, each page in a directory of its own.

In a page, from top to bottom: every line of a ``console`` block begins with ``$ `` and is typed; a ``python`` block is
run, one namespace a page; a ``python`` or ``yaml`` block whose first line is ``# NAME.py`` or ``# NAME.yaml`` is
written to that file; any other ``yaml`` block must be YAML; a ``text`` block is only read. The tables say what a
reader has and this test has not.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import robustpeft as rp
from robustpeft.cli.__main__ import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))]

INSTEAD = {
    "init PHOTOS": "init PHOTOS --yes --backbone digits_vit",  # published weights are on the hub
    "init photos": "init photos --yes --backbone digits_vit",
    "tune PHOTOS.yaml": "tune PHOTOS.yaml backbone.image_size=16 training.epochs=1 --device cpu",
    "tune photos.yaml": "tune photos.yaml backbone.image_size=16 training.epochs=1 --device cpu",
    "vit_tiny_patch16_224 --data": "vit_tiny_patch16_224 --image-size 32 --data",  # weights of chance, and small
    "study fulllora": "study mine.yaml",  # a quarter of an hour
    "study status fulllora": "study status mine.yaml",
    'threat=rp.Linf(0.1), output="runs/digits")': (
        'threat=rp.Linf(0.1), output="runs/digits", training=rp.TrainingPlan(epochs=1, train_images=64))'
    ),
}
"""What is run in the place of what stands there, where the words would need weights, a network or a long time."""

NOT_HERE = {
    "make ": "makes an environment, for which it needs a network",
    ".venv/bin/pre-commit": "changes a clone of the repository",
    "robustpeft demo": "takes minutes; tests/study/test_demo.py does a shorter one",
    "robustpeft app": "serves until it is ended; tests/app does that in a browser",
    "ROBUSTPEFT_PASSWORD=": "serves until it is ended; tests/app/test_page.py does that with a password",
    "robustpeft study mine.yaml --executor ray": "starts a cluster; tests/study/grid has it",
    "robustpeft study fulllora --scale smoke --executor ray": "starts a cluster; tests/study/grid has it",
    "robustpeft study mine.yaml --executor slurm": "needs sbatch; tests/study/grid has it with jobs on this machine",
    "robustpeft study fulllora --scale smoke --executor slurm": "needs sbatch, likewise",
    "# types/model.py": "signatures for readers, not a program",
}
"""Beginnings of lines that are not typed and of blocks that are not run, each with its reason."""

ENDS_WITH = {
    "robustpeft doctor": (0, 1),  # whether this machine is fit is not what is tested
    "robustpeft verify audits/vit": (2,),  # without a model no count is confirmed
    "robustpeft gate runs/photos": (1, 2),  # after one epoch on a few digits
}
"""Exit statuses of commands that do not end with 0 here."""

_SHORT = "training.epochs=1 training.train_images=64 training.selection_images=16"
_RUNS = (
    f"robustpeft tune fulllora-digits {_SHORT} --output runs/digits",
    "robustpeft audit runs/digits --images 16 --attack fgsm",
    f"robustpeft tune lora-digits {_SHORT} --output runs/lora",
)
BEFORE = {
    "docs/sharing.md": _RUNS,
    "docs/serving.md": _RUNS,
    "docs/gate.md": (
        f"robustpeft tune fulllora-digits data.source=folder data.path=PHOTOS {_SHORT} --output runs/photos",
        "robustpeft audit runs/photos --attack fgsm",
        "robustpeft audit runs/photos --attack fgsm --output ../before/audit",
    ),
}
"""What a reader of the page has done already."""

STUDY = """
base: lora-digits
set: {training.epochs: 1, training.train_images: 32, training.selection_images: 8}
axes: {method: [{name: lora, r: 1}]}
select: {training.learning_rate: [1.0e-3]}
seeds: [1]
audit: {epsilons: [0.1], attacks: [{name: fgsm}], perturbations: [], images: 8, gallery: 0}
scale: {smoke: {}, paper: {}}
"""


@dataclass(frozen=True)
class Block:
    """A fenced block; `file` is where it is to be written, if it says so in its first line."""

    page: str
    language: str
    body: str

    @property
    def file(self):
        found = re.match(r"# (\w+\.(?:py|yaml))\n", self.body)
        return found and found[1]

    @property
    def lines(self):
        return [line.removeprefix("$ ") for line in self.body.splitlines()]


def blocks(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, *found) for found in re.findall(r"^ *```([^\n]*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    ]


ALL = [block for page in PAGES for block in blocks(page)]
RUNNABLE = sorted({block.page for block in ALL if block.language == "console" or block.language == "python"})


def first(table, text):
    return next((value for beginning, value in table.items() if text.startswith(beginning)), None)


def instead(text):
    for words, others in INSTEAD.items():
        text = text.replace(words, others)
    return text


def type_in(line):
    if first(NOT_HERE, line):
        return
    program, *arguments = shlex.split(instead(line), comments=True)
    if program == "python":
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(["", *filter(None, sys.path)])}
        subprocess.run([sys.executable, *arguments], check=True, env=environment, timeout=240)
        return
    assert program == "robustpeft", line
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert (left.value.code or 0) in (first(ENDS_WITH, line) or (0,)), line


def follow(page, names):
    for line in BEFORE.get(page, ()):
        type_in(line)
    for block in blocks(page):
        if block.file:
            Path(block.file).write_text(block.body, encoding="utf-8")
        elif block.language == "console":
            for line in block.lines:
                type_in(line)
        elif block.language == "python" and not first(NOT_HERE, block.body):
            exec(compile(instead(block.body), page, "exec"), names)


def write_photographs(folder, images, labels, count):
    for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        there = folder / ("zero", "one", "two")[label]
        there.mkdir(parents=True, exist_ok=True)
        if len(list(there.iterdir())) < count:
            Image.fromarray((image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()).save(there / f"{i}.png")


@pytest.fixture(scope="module")
def digits():
    batch = next(rp.load_data("digits", image_size=16).train.batches(200))
    few = batch.labels < 3
    return batch.images[few], batch.labels[few]


@pytest.fixture
def place(digits, tmp_path, monkeypatch):
    """Photographs of three classes, a study of one run, a file of weights by somebody else."""
    import timm

    here = tmp_path / "here"
    here.mkdir()
    for name, count in {"PHOTOS": 12, "photos": 12, "NEW_PHOTOS": 2}.items():
        write_photographs(here / name, *digits, count)
    (here / "mine.yaml").write_text(STUDY)
    stranger = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=3)
    torch.save(stranger.state_dict(), here / "vit.pth")
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return here


def test_every_block_is_run_parsed_or_read():
    for block in ALL:
        allowed = ("console", "python", "yaml", "text", *(["bibtex"] if block.page.endswith("/report.md") else []))
        assert block.language in allowed, f"{block.page}: {block.body}"
        if block.language == "console":
            assert all(line.startswith("$ ") for line in block.body.splitlines()), f"{block.page}: {block.body}"
        if block.language == "text":
            hidden = re.search(r"^(\$ |robustpeft )", block.body, re.MULTILINE)
            assert not hidden, f"{block.page}: a command in a text block is not run: {block.body}"
        if block.language == "yaml":
            assert yaml.safe_load(block.body), f"{block.page}: {block.body}"


def test_the_tables_name_nothing_that_does_not_stand_somewhere():
    lines = [line for block in ALL for line in (block.lines if block.language == "console" else [block.body])]
    for beginning in (*NOT_HERE, *ENDS_WITH):
        assert any(line.startswith(beginning) for line in lines), beginning
    for words in INSTEAD:
        assert any(words in line for line in lines), words
    assert set(BEFORE) <= set(RUNNABLE)


def test_a_command_that_fails_is_noticed(place):
    with pytest.raises(AssertionError, match="list nothing"):
        type_in("robustpeft list nothing")
    with pytest.raises(AssertionError, match="frobnicate"):
        type_in("frobnicate it")


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in RUNNABLE if p not in ("docs/sharing.md", "docs/serving.md")])
def test_a_page_does_what_it_says(page, place):
    follow(page, {})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # of the hub's own client
def test_sharing(place, hub, digits):
    names = {"images": digits[0]}
    follow("docs/sharing.md", names)
    assert hub.repos["ann/digits-robust"].private
    there = rp.load("hf:ann/digits-robust")
    assert torch.equal(there(digits[0]), rp.load("runs/digits")(digits[0]))
    frozen = rp.load_backbone("digits_vit")(digits[0])
    assert torch.equal(names["before"], frozen)
    assert torch.equal(names["after"], frozen)
    assert Path("runs/theirs/audits/digits-test/report.html").is_file()
    assert Path("leaderboard/robustbench/digits/Linf/FullLoRA.json").is_file()


@pytest.mark.slow
def test_serving(place, digits):
    """The ONNX file and the bank of ten lines answer as the runs loaded one by one, on one copy of frozen weights."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    names = {}
    follow("docs/serving.md", names)
    given = torch.from_numpy(names["images"])
    torch.testing.assert_close(torch.from_numpy(names["logits"]), rp.load("runs/digits")(given), rtol=0, atol=1e-4)
    bank = next(block for block in blocks("docs/serving.md") if "AdapterBank" in block.body)
    assert len([line for line in bank.lines if line.strip()]) <= 10
    for name, path in (("lora", "runs/lora"), ("robust", "runs/digits")):
        model = rp.load(path)
        assert names["answer"](name, digits[0]) == [model.classes[i] for i in model(digits[0]).argmax(1)]
    one, other = (names["bank"][name].frozen_state() for name in ("lora", "robust"))
    assert one["blocks.0.attn.qkv.weight"].data_ptr() == other["blocks.0.attn.qkv.weight"].data_ptr()
