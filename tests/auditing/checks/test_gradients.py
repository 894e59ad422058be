import torch

from robustpeft.auditing.checks import gradients


def verdicts(case):
    asked = (gradients.gradient_present, gradients.gradient_true, gradients.confidence_in_range)
    return [ask(case).verdict for ask in asked]


def test_an_honest_model_passes(make_case):
    assert verdicts(make_case(attacked=False)) == ["pass", "pass", "pass"]


def test_a_gradient_of_zero_is_noticed(make_case, around, masked):
    case = make_case(around(before=lambda x: masked(x, 0.0)), attacked=False)
    assert verdicts(case)[:2] == ["fail", "fail"]


def test_a_gradient_of_zero_on_a_few_images_is_in_doubt(make_case, around, masked):
    def first(images):
        return torch.cat([masked(images[:2], 0.0), images[2:]])

    assert gradients.gradient_present(make_case(around(before=first), attacked=False)).verdict == "warn"


def test_a_gradient_of_zero_at_most_pixels_is_in_doubt(make_case, around):
    def few(images):
        return torch.cat([images[..., :2], images[..., 2:].detach()], dim=3)

    assert gradients.gradient_present(make_case(around(before=few), attacked=False)).verdict == "warn"


def test_a_detached_model_has_none(make_case, around):
    assert gradients.gradient_present(make_case(around(before=torch.detach), attacked=False)).verdict == "fail"


def test_a_gradient_of_noise_is_noticed_although_it_is_there(make_case, around, masked):
    case = make_case(around(before=lambda x: masked(x, None)), attacked=False)
    assert verdicts(case)[:2] == ["pass", "fail"]


def test_a_gradient_that_is_not_finite_is_noticed(make_case, around, masked):
    case = make_case(around(before=lambda x: masked(x, torch.nan)), attacked=False)
    assert gradients.gradient_present(case).verdict == "fail"


def test_huge_logits_are_noticed(make_case, around):
    case = make_case(around(after=lambda logits: 1000 * logits), attacked=False)
    assert verdicts(case) == ["pass", "pass", "warn"]


def test_half_precision_is_not_compared_by_small_steps(make_case, honest):
    case = make_case(honest().bfloat16(), attacked=False)
    assert gradients.gradient_true(case).verdict == "not_applicable"


class InHalf(torch.nn.Module):
    """Products in bfloat16, parameters in float32."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        with torch.autocast("cpu", torch.bfloat16):
            return self.inner(images).float()


def straight_through(images, levels=8):
    rounded = (images * levels).round() / levels
    return images + (rounded - images).detach()


def test_products_in_half_precision_are_no_lie(make_case, honest):
    assert gradients.gradient_true(make_case(InHalf(honest()), attacked=False)).verdict == "pass"


def test_a_lie_is_noticed_behind_products_in_half_precision(make_case, around, masked):
    for before in (lambda x: masked(x, -1.0), lambda x: masked(x, None), lambda x: masked(x, 0.0), straight_through):
        answer = gradients.gradient_true(make_case(InHalf(around(before=before)), attacked=False))
        assert answer.verdict == "fail"
