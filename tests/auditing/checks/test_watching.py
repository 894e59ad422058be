import dataclasses

import torch

from robustpeft.attacks import FGSM
from robustpeft.auditing.checks.watching import _moving, watched_attack


def test_an_honest_audit_passes(make_case):
    assert [answer.verdict for answer in watched_attack(make_case())] == ["pass"] * 3


def test_a_view_that_answers_otherwise_is_noticed(make_case, adapted):
    def folded(images):
        return 30 * torch.sin(images.flatten(1)[:, :3] * 50)

    model = adapted(lambda images: 0 * images.flatten(1)[:, :3], folded)
    same = {a.key: a for a in watched_attack(make_case(model))}["same_model"]
    assert same.verdict == "fail"


def test_a_rise_at_the_end_is_counted_and_one_at_the_beginning_is_not():
    steps = torch.arange(31.0)
    rising, early = steps, steps.clamp(max=10)
    margins = torch.stack([rising, early, rising], dim=1)
    assert _moving(margins, torch.tensor([True, True, False])) == (1, 2)
    nearly = torch.where(steps > 20, 20.5, steps)  # 0.5 of 20.5 in the last ten: below 0.05
    assert _moving(nearly[:, None], torch.tensor([True])) == (0, 1)


def test_without_an_ascent_nothing_is_asked(make_case, plan):
    case = make_case(plan=dataclasses.replace(plan, attacks=(FGSM(),)))
    assert {answer.verdict for answer in watched_attack(case)} == {"not_applicable"}
