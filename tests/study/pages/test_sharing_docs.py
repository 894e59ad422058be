"""Every command and every example in docs/sharing.md and docs/serving.md is done as it stands there."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

import robustpeft as rp
from robustpeft.cli.__main__ import main

DOCS = Path(__file__).parents[3] / "docs"
pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # of the hub's own client


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def type_in(block):
    for line in block.strip().splitlines():
        program, *arguments = shlex.split(line)
        assert program == "robustpeft"
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0, line


@pytest.fixture
def place(audited_run, tune_digits, tmp_path, monkeypatch):
    shutil.copytree(audited_run, tmp_path / "runs" / "digits")
    tune_digits(tmp_path / "runs" / "lora", method=rp.LoRA(r=2))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_sharing(place, hub, run, digits, capsys):
    pushing, pulling, leaving = blocks("sharing.md", "bash")
    load, off = blocks("sharing.md", "python")
    type_in(pushing)
    assert "dry run: nothing was sent to hf:ann/digits-robust\n" in capsys.readouterr().out
    assert hub.repos["ann/digits-robust"].private
    names = {"images": next(digits.test.batches(16)).images}
    exec(load, names)
    assert torch.equal(names["model"](names["images"]), run.model(names["images"]))
    exec(off, names)
    frozen = rp.load_backbone("digits_vit")(names["images"])
    assert torch.equal(names["before"], frozen)
    assert torch.equal(names["after"], frozen)
    type_in(pulling)
    assert (place / "runs" / "theirs" / "audits" / "digits-test" / "report.html").is_file()
    type_in(leaving)
    assert (place / "leaderboard" / "robustbench" / "digits" / "Linf" / "FullLoRA.json").is_file()


@pytest.mark.slow
def test_serving(place, digits):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    (leaving,) = blocks("serving.md", "bash")
    onnx, _ = blocks("serving.md", "python")
    type_in(leaving)
    names = {}
    exec(onnx, names)
    robust = rp.load("runs/digits")
    torch.testing.assert_close(
        torch.from_numpy(names["logits"]), robust(torch.from_numpy(names["images"])), rtol=0, atol=1e-4
    )


def test_serving_many(place, digits):
    """The example gives the answers of the runs loaded one by one, on one copy of the frozen weights, in ten lines."""
    _, example = blocks("serving.md", "python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    names = {}
    exec(example, names)
    images = next(digits.test.batches(16)).images
    for name, path in (("lora", "runs/lora"), ("robust", "runs/digits")):
        model = rp.load(path)
        assert names["answer"](name, images) == [model.classes[i] for i in model(images).argmax(1)]
        assert torch.equal(names["bank"][name](images), model(images))
    first, second = (names["bank"][name].frozen_state() for name in ("lora", "robust"))
    shared = [n for n in first if first[n].data_ptr() == second[n].data_ptr() and not n.startswith("head.")]
    assert "blocks.0.attn.qkv.weight" in shared
