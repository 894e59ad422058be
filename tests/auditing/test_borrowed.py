import contextlib
import dataclasses

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from robustpeft.attacks import PGD
from robustpeft.attacks.kept_images import list_kept_images
from robustpeft.auditing import AuditPlan, Commons, Place, run_audit
from robustpeft.data.image_store import InMemory
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
    def run(model, plan=PLAN, method=METHOD, place=None):
        split = make_split(n=60)
        (batch,) = split.batches(60)
        with torch.no_grad():
            labels = model(batch.images).argmax(dim=1)
        named = dataclasses.replace(subject, method=method)
        labelled = dataclasses.replace(split, labels=labels)
        return run_audit(model, labelled, plan, subject=named, data=make_data(), place=place)

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


def test_what_others_broke_already_is_not_kept_a_second_time(audit, make_linear, tmp_path):
    record = audit(Tuned(make_linear(2), 0.0), place=Place(tmp_path))
    assert record["transfer@linf:0.01"].correct.count < 60
    kept = [(stage, image) for stage, image, _ in list_kept_images(tmp_path)]
    elsewhere = {image for stage, image in kept if not stage.startswith("transfer@")}
    assert elsewhere
    assert not [image for stage, image in kept if stage.startswith("transfer@") and image in elsewhere]


@pytest.fixture
def in_company(make_split, make_data, subject, make_linear, tmp_path):
    """Audit one model beside others of its network, on images whose pixels may be replaced."""
    split, model = make_split(n=60), Tuned(make_linear(2), 0.3)
    with torch.no_grad():
        split = dataclasses.replace(split, labels=model(next(iter(split.batches(60))).images).argmax(dim=1))

    def run(pixels=None, *, alone=False):
        chosen = split if pixels is None else dataclasses.replace(split, store=InMemory(pixels))
        commons = None if alone else Commons(tmp_path, "the same network")
        named = dataclasses.replace(subject, method=METHOD)
        return run_audit(model, chosen, PLAN, subject=named, data=make_data(), place=Place(commons=commons))

    run.pixels = torch.stack([split[place] for place in range(60)])
    return run


def test_images_of_the_same_names_and_other_pixels_have_a_shelf_of_their_own(in_company):
    in_company()
    mirrored = in_company.pixels.flip(-1)
    record, alone = in_company(mirrored), in_company(mirrored, alone=True)
    transfer, fresh = record["transfer@linf:0.01"], alone["transfer@linf:0.01"]
    assert (transfer.correct, transfer.forwards, transfer.note) == (fresh.correct, fresh.forwards, fresh.note)
    assert [row.predictions for row in record.rows] == [row.predictions for row in alone.rows]


def test_a_point_on_the_shelf_that_lies_outside_the_ball_is_not_believed(in_company, tmp_path):
    in_company()
    for path in tmp_path.glob("*/adversarial-*.safetensors"):
        with safe_open(path, framework="pt") as file:
            stage = file.metadata()
        save_file({name: 1 - point for name, point in load_file(path).items()}, path, metadata=stage)
    with pytest.raises(RuntimeError, match="from an earlier audit of the same pass left the ball"):
        in_company()
