"""A place with 24 tiny photographs in two classes, a recipe for them, and a run that was tuned on them once."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from robustpeft.cli.__main__ import main

RECIPE = {
    "backbone": {"name": "digits_vit", "weights": False},
    "method": {"name": "lora", "r": 2},
    "objective": {"name": "pgd_at", "attack": {"name": "pgd", "steps": 1, "keep": "last"}},
    "threat": {"norm": "linf", "epsilon": 0.1},
    "training": {"epochs": 2, "selection_attack": {"name": "pgd", "steps": 1}},
    "audit": {"epsilons": [0.05, 0.1], "attacks": ["fgsm"], "perturbations": [{"name": "pixel_drop", "ratio": 0.5}]},
}


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Place:
    """A directory to work in: `path`, with `photos` and `recipe` in it, and copies of a finished run on demand."""

    path: Path
    finished: Path

    @property
    def photos(self) -> Path:
        return self.path / "photos"

    @property
    def recipe(self) -> str:
        return str(self.path / "tiny.yaml")

    def run(self, name: str = "run") -> Path:
        return Path(shutil.copytree(self.finished, self.path / name))

    def write(self, name: str, text: str) -> str:
        (self.path / name).write_text(text)
        return str(self.path / name)

    def tune(self, *more: str) -> list[str]:
        return ["tune", self.recipe, *more, "--output", str(self.path / "new"), "--device", "cpu"]


def write_photos(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 12) -> None:
    generator = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def set_up(path: Path) -> None:
    write_photos(path / "photos")
    recipe = RECIPE | {"data": {"source": "folder", "path": str(path / "photos")}}
    (path / "tiny.yaml").write_text(yaml.safe_dump(recipe))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finished")
    set_up(path)
    with pytest.raises(SystemExit) as left:
        main(["tune", str(path / "tiny.yaml"), "--output", str(path / "run"), "--device", "cpu"])
    assert left.value.code == 0
    return path / "run"


@pytest.fixture
def place(tmp_path: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    set_up(tmp_path)
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, finished_run)


@pytest.fixture
def type_in(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process, as a person would type it."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Outcome(int(left.value.code or 0), said.out, said.err)

    return run
