"""One's own technique, in one's own package, takes part in a study like any other: tuned, audited, compared."""

import sys

import pytest

from robustpeft.attacks import FGSM
from robustpeft.auditing import AuditPlan
from robustpeft.report.study import write_study_report
from robustpeft.study.grid import Contrast, Place, Study, run_study
from robustpeft.study.grid.stage_file import TransferStage

PACKAGE = '''
from dataclasses import dataclass
from robustpeft.pet.base import PETMethod
from robustpeft.pet.in_place import count_named

@dataclass(frozen=True)
class LastBiases(PETMethod):
    """The biases of the last blocks."""

    blocks: int = 1

    def modules(self, model, seed):
        return {}

    def thawed(self, model):
        last = tuple(f"{block}." for block in model.require_seams().blocks[-self.blocks:])
        return {n for n, _ in model.network.named_parameters() if n.endswith(".bias") and n.startswith(last)}

    def count(self, model):
        return count_named(model, self.thawed(model))
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "site" / "my_package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "techniques.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield "my_package.techniques:LastBiases"
    for name in [name for name in sys.modules if name.startswith("my_package")]:
        del sys.modules[name]


def test_it_is_tuned_audited_compared_and_reported(package, tmp_path):
    points = ("linear_probe", {"label": "mine", "value": {"name": package, "blocks": 2}})
    study = Study(
        "own",
        "lora-digits",
        set={"training.epochs": 1, "training.train_images": 64, "training.selection_images": 16},
        axes={"method": points},
        select={"training.learning_rate": (0.001, 0.003)},
        seeds=(1,),
        audit=AuditPlan((0.1,), attacks=(FGSM(),), perturbations=(), images=20, checks="none", gallery=0),
        comparisons=(Contrast("linear_probe"),),
        transfers=(TransferStage(("linear_probe", "mine"), 0.1, attack=FGSM(), images=10),),
    )
    record = run_study(study, Place(tmp_path / "study", tmp_path / "store", "cpu"))
    mine = record.arms[1]
    assert [run.failed for run in mine.runs] == [""]
    assert [trial.failed for trial in mine.trials] == ["", ""]
    assert mine.runs[0].num_trained == 650 + 2 * 11 * 64  # the head, and two blocks' biases
    assert record.audit(mine.runs[0]).subject.method == {"name": package, "blocks": 2}
    assert [stage.failed for stage in record.stages] == [""]
    text = write_study_report(record).read_text()
    assert "mine against linear_probe" in text or "collapsed" in text
