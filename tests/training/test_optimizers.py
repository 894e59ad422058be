import copy

import torch
from torch import nn

from robustpeft.training import Phase, TrainingPlan
from robustpeft.training.optimizers import build_optimizer, load_optimizer_state, optimizer_state, set_rate


def test_heads_have_their_own_rate_and_vectors_no_decay(make_task):
    tunable = make_task().tunable
    plan = TrainingPlan(learning_rate=0.1, head_rate=0.5, weight_decay=0.01)
    optimizer = build_optimizer(tunable, plan)
    groups = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    weight, bias = tunable.model[2].weight, tunable.model[2].bias
    assert (groups[id(weight)]["lr"], groups[id(weight)]["weight_decay"]) == (0.1, 0.01)
    assert (groups[id(bias)]["lr"], groups[id(bias)]["weight_decay"]) == (0.05, 0.0)
    set_rate(optimizer, 0.5)
    assert groups[id(weight)]["lr"] == 0.05
    assert groups[id(bias)]["lr"] == 0.025


def test_the_state_continues_where_it_stopped(make_task):
    for name in ("adamw", "sgd"):
        tunable = make_task().tunable
        plan = TrainingPlan(optimizer=name, learning_rate=0.1)
        images = torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))

        def step(tunable, optimizer, images=images):
            optimizer.zero_grad()
            tunable.model(images).square().sum().backward()
            optimizer.step()

        optimizer = build_optimizer(tunable, plan)
        for _ in range(3):
            step(tunable, optimizer)
        twin = copy.deepcopy(tunable)
        names = {p: n for n, p in tunable.named_parameters().items()}
        state = {k: v.clone() for k, v in optimizer_state(optimizer, names).items()}
        resumed = build_optimizer(twin, plan)
        load_optimizer_state(resumed, twin.named_parameters(), state)
        step(tunable, optimizer)
        step(twin, resumed)
        for mine, other in zip(tunable.model.parameters(), twin.model.parameters(), strict=True):
            assert torch.equal(mine, other)


def test_norms_have_their_own_rate_but_not_in_the_head(make_task):
    tunable = make_task().tunable
    tunable.model = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), nn.LayerNorm(4))
    tunable.is_head = lambda name: name.startswith("2.")
    optimizer = build_optimizer(tunable, TrainingPlan(learning_rate=1.0, norm_rate=0.1, head_rate=0.5))
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    assert [rates[id(p)] for p in tunable.model.parameters()] == [0.1, 0.1, 1.0, 1.0, 0.5, 0.5]


def test_a_phase_may_have_its_own_optimiser_and_rate(make_task):
    tunable = make_task().tunable
    plan = TrainingPlan(learning_rate=0.1, head_rate=0.5)
    optimizer = build_optimizer(tunable, plan, Phase(learning_rate=0.4, optimizer="sgd"))
    assert isinstance(optimizer, torch.optim.SGD)
    assert [(g["lr"], g["params"]) for g in optimizer.param_groups] == [(0.2, [tunable.model[2].bias])]
