import dataclasses

import torch

from robustpeft.attacks import PGD
from robustpeft.auditing.checks import budget
from robustpeft.auditing.conditions import Condition


def test_an_honest_audit_passes(make_case):
    case = make_case()
    asked = (budget.falls_with_radius, budget.large_radius, budget.whole_box)
    assert [ask(case).verdict for ask in asked] == ["pass"] * 3
    assert "Images that hold (clean, linf 0.002, linf 0.01): 48," in budget.falls_with_radius(case).evidence


def test_a_radius_that_helps_nobody_is_in_doubt(make_case, around, masked):
    case = make_case(around(before=lambda x: masked(x, 0.0)))
    still = dataclasses.replace(case, outcomes=dict.fromkeys(case.outcomes, case.clean))
    assert budget.falls_with_radius(still).verdict == "warn"


def test_an_attack_of_the_largest_radius_alone_does_not_hide_that_nothing_falls(make_case, around, masked):
    case = make_case(around(before=lambda x: masked(x, 0.0)))
    wide = Condition("pgd@linf:0.01#9", PGD(steps=99), case.threat)
    broken = dataclasses.replace(case.clean, predictions=case.clean.predictions.clone().fill_(-1))
    outcomes = dict.fromkeys(case.outcomes, case.clean) | {wide: broken}
    answer = budget.falls_with_radius(dataclasses.replace(case, outcomes=outcomes))
    assert answer.verdict == "warn"
    assert answer.evidence.endswith(", 0.")


def test_an_image_that_recovers_is_noticed(make_case):
    case = make_case()
    healed = {c: case.clean if c.threat == case.threat else o for c, o in case.outcomes.items()}
    answer = budget.falls_with_radius(dataclasses.replace(case, outcomes=healed))
    assert answer.verdict == "fail"
    assert "hold at linf 0.01" in answer.evidence


def test_a_model_that_hides_its_gradient_holds_where_nothing_can(make_case, around):
    # 0 gradient behind a detached image that still decides: the ascent has nowhere to go.
    hiding = around(before=lambda x: x.detach() + 0 * x)
    case = make_case(hiding)
    case.setting.judge(case.sample.images, case.sample.labels)
    assert budget.whole_box(case).verdict == "fail" or budget.large_radius(case).verdict == "fail"


def test_the_box_is_reached_in_every_norm(make_case, plan):
    for norm, epsilon in (("linf", 1.0), ("l2", 108**0.5), ("l1", 108.0)):
        case = make_case(plan=dataclasses.replace(plan, norm=norm), attacked=False)
        whole = budget._reaching(case, 1.0)
        assert whole is not None
        assert (whole.norm, whole.epsilon) == (norm, epsilon)
        corner = torch.ones(1, 3, 6, 6)
        assert float(whole.size(corner)) <= whole.epsilon * (1 + 1e-6)


def test_guessing_is_allowed_at_a_large_radius(make_case, honest):
    class Constant(honest):
        def forward(self, images):
            return super().forward(images) * 0 + torch.tensor([1.0, 0.0, 0.0])

    case = make_case(Constant())
    assert budget.large_radius(case).verdict == "pass"  # 14 of 48 are right, whatever is done
    assert budget.whole_box(case).verdict == "fail"
