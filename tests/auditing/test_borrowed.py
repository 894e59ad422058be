import contextlib
import dataclasses

import pytest
import torch
from torch import nn

from robustpeft.attacks import PGD
from robustpeft.auditing import AuditPlan, run_audit
from robustpeft.records import attacker_ladder

METHOD = {"name": "toy"}
PLAN = AuditPlan(
    epsilons=(0.002, 0.01), attacks=(PGD(steps=2),), perturbations=(), images=None, gallery=0, checks="none"
)


class Tuned(nn.Module):
    """A linear model whose adapter turns a share of the public weights round."""

    def __init__(self, public, turned, head=None):
        super().__init__()
        self.public, self.turned, self.on, self.head = public, turned, True, head
        self.mask = torch.ones(48)
        self.mask[: int(48 * turned)] = -1

    def forward(self, images):
        x = (images - 0.5).flatten(1)
        if self.on:
            return x @ (self.public.weight * self.mask).T
        return x @ self.public.weight.T if self.head is None else x @ self.head.T

    def features(self, images):
        return (images - 0.5).flatten(1) @ self.public.weight.T

    def attack_view(self):
        twin = Tuned(self.public, self.turned, self.head)
        twin.on = self.on
        return twin

    @contextlib.contextmanager
    def disabled(self):
        self.on = False
        try:
            yield
        finally:
            self.on = True


@pytest.fixture
def audit(make_split, make_data, subject):
    def run(model, plan=PLAN, method=METHOD):
        split = make_split(n=60)
        (batch,) = split.batches(60)
        with torch.no_grad():
            labels = model(batch.images).argmax(dim=1)
        named = dataclasses.replace(subject, method=method)
        return run_audit(model, dataclasses.replace(split, labels=labels), plan, subject=named, data=make_data())

    return run


def test_what_breaks_the_public_network_breaks_one_that_equals_it(audit, make_linear):
    record = audit(Tuned(make_linear(2), 0.0))
    transfer, white = record["transfer@linf:0.01"], record["pgd@linf:0.01"]
    assert (transfer.kind, transfer.name, transfer.threat) == ("attack", "transfer", {"norm": "linf", "epsilon": 0.01})
    assert transfer.correct == white.correct  # two classes, a linear model: both attacks reach the corner
    assert 0 < transfer.correct.count < 60
    assert "its own head: 60 of 60" in transfer.note


def test_an_attacker_whose_network_names_the_classes_otherwise_looks_at_its_features(audit, make_linear):
    record = audit(Tuned(make_linear(2), 1.0))
    transfer = record["transfer@linf:0.01"]
    assert "nearest class mean" in transfer.note
    assert record["pgd@linf:0.01"].correct.count <= transfer.correct.count < 60


def test_a_head_of_other_classes_is_replaced_by_class_means(audit, make_linear):
    public = make_linear(2)
    record = audit(Tuned(public, 0.0, head=torch.zeros(2, 48)))
    transfer = record["transfer@linf:0.01"]
    assert "nearest class mean" in transfer.note
    assert transfer.correct.count < 60


def test_it_counts_as_an_attack_in_the_worst_case(audit, make_linear):
    record = audit(Tuned(make_linear(2), 0.3))
    rungs = {rung.key: rung for rung in attacker_ladder(record)}
    assert rungs["transfer"].correct == record["transfer@linf:0.01"].correct
    assert "transfer@linf:0.01" in rungs["full_knowledge"].what


@pytest.mark.parametrize(
    ("plan", "method"), [(PLAN, None), (dataclasses.replace(PLAN, transfer=False), METHOD)], ids=["no adapter", "off"]
)
def test_where_it_is_not_asked_for_it_is_not_measured(audit, make_linear, plan, method):
    record = audit(Tuned(make_linear(2), 0.0), plan, method)
    assert [m.name for m in record.of("attack")] == ["pgd", "pgd"]


def test_a_model_without_a_switch_has_no_public_network(audit, make_linear):
    assert [m.name for m in audit(make_linear(2)).of("attack")] == ["pgd", "pgd"]
