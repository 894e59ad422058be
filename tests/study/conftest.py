"""A hundred digits, the bundled ViT, and one short tuning run that the tests of this room share."""

import dataclasses
import shutil

import pytest

from robustpeft.attacks import FGSM, PGD
from robustpeft.auditing import AuditPlan
from robustpeft.backbones import Backbone
from robustpeft.data import Digits
from robustpeft.objectives import PgdAt
from robustpeft.perturbations import GaussianNoise, PixelDrop
from robustpeft.pet import FullLoRA
from robustpeft.study import audit, load, tune
from robustpeft.study.audit_runs import AuditRequest, audit_runs
from robustpeft.training import TrainingPlan
from robustpeft.types import Linf


@pytest.fixture(scope="session")
def digits():
    whole = Digits().load(16)
    return dataclasses.replace(
        whole, train=whole.train.take(100), validation=whole.validation.take(40), test=whole.test.take(40)
    )


@pytest.fixture(scope="session")
def tune_digits(digits):
    def run(output, **changes):
        options = {
            "method": FullLoRA(r=2),
            "objective": PgdAt(PGD(steps=1, keep="last")),
            "threat": Linf(0.05),
            "training": TrainingPlan(epochs=1, batch_size=50, learning_rate=5e-3, selection_attack=PGD(steps=1)),
            **changes,
        }
        return tune(Backbone().load(), digits, output=output, **options)

    return run


@pytest.fixture(scope="session")
def run(tune_digits, tmp_path_factory):
    return tune_digits(tmp_path_factory.mktemp("runs") / "fulllora")


@pytest.fixture(scope="session")
def audited_run(run, digits, tmp_path_factory):
    """A copy of the run whose audit lies in it, with images in its gallery, and which noted the audit."""
    path = shutil.copytree(run.path, tmp_path_factory.mktemp("audited") / "fulllora")
    changes = {"epsilons": [0.05, 0.1], "attacks": ["fgsm"], "perturbations": [], "gallery": 2}
    audit_runs([path], path / "audit", AuditRequest(data=digits, changes=changes))
    return path


@pytest.fixture(scope="session")
def plan_of_audited():
    return AuditPlan(
        epsilons=(0.01, 0.03),
        attacks=(FGSM(), PGD(steps=3)),
        perturbations=(GaussianNoise(0.1), PixelDrop(0.3)),
        checks="none",
        gallery=0,
    )


@pytest.fixture(scope="session")
def audited(run, digits, plan_of_audited, tmp_path_factory):
    """The directory of an honest, sealed audit of the run; `copied` is one that a test may change."""
    directory = tmp_path_factory.mktemp("audited")
    audit(load(run.path), digits, plan=plan_of_audited, output=directory)
    return directory


@pytest.fixture
def copied(audited, tmp_path):
    return shutil.copytree(audited, tmp_path / "audit")
