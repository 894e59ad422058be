import pytest

from robustpeft.attacks import PGD
from robustpeft.auditing import AuditPlan
from robustpeft.errors import UserError
from robustpeft.records import read_record
from robustpeft.study import demo as demo_module
from robustpeft.study.recipe import read_recipe

QUICK = [
    "training.epochs=1",
    "training.train_images=64",
    "training.validations=1",
    "training.selection_images=20",
    "training.selection_attack.steps=1",
]


@pytest.fixture
def quick(monkeypatch):
    """The demo with one short epoch an arm and twenty test images."""
    plan = AuditPlan(epsilons=(0.05, 0.1), attacks=(PGD(steps=1),), images=20, gallery=2)
    monkeypatch.setattr(demo_module, "DEMO_PLAN", plan)
    monkeypatch.setattr(demo_module, "read_recipe", lambda name, more: read_recipe(name, [*more, *QUICK]))


class Listener:
    def __init__(self):
        self.phases, self.steps, self.batches = [], 0, 0

    def phase(self, title):
        self.phases.append(title)

    def tuning(self, progress):
        self.steps += 1

    def auditing(self, progress):
        self.batches += 1


def test_the_demo_audits_the_frozen_model_and_two_adapters_on_the_same_images(quick, tmp_path):
    listener = Listener()
    result = demo_module.demo(tmp_path / "demo", reporter=listener)
    assert [r.subject.label for r in result.records] == ["undefended", "LoRA, ordinary", "FullLoRA, adversarial"]
    assert len({r.data.digest for r in result.records}) == 1
    assert len({tuple(g.id for g in r.gallery) for r in result.records}) == 1
    assert result.report == tmp_path / "demo" / "report.html"
    assert "FullLoRA, adversarial" in result.report.read_text()
    assert read_record(tmp_path / "demo" / "undefended") == result.records[0]
    assert [p.partition(":")[0] for p in listener.phases] == ["audit", "tuning", "audit", "tuning", "audit"]
    assert listener.steps >= 4
    assert listener.batches > 0


def test_with_full_adds_full_tuning(quick, tmp_path):
    result = demo_module.demo(tmp_path / "demo", with_full=True)
    assert result.records[-1].subject.label == "full tuning, adversarial"
    assert result.records[-1].subject.num_trained == 205_002


def test_an_earlier_demo_is_replaced_only_when_asked(quick, tmp_path):
    demo_module.demo(tmp_path / "demo")
    with pytest.raises(UserError, match="not empty"):
        demo_module.demo(tmp_path / "demo")
    demo_module.demo(tmp_path / "demo", overwrite=True)
