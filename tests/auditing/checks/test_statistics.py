import torch

from robustpeft.auditing.checks.statistics import even_classes, narrow_interval


def test_few_images_give_a_wide_interval(make_case, make_split):
    answer = narrow_interval(make_case())
    assert answer.verdict == "warn"
    assert answer.evidence.startswith("Clean 48 of 48, holding ")
    case = make_case(attacked=False)
    case.__dict__.update(correct=torch.ones(1000, dtype=torch.bool), held=torch.arange(1000) < 300)
    answer = narrow_interval(case)
    assert answer.verdict == "pass"
    assert "holding 300 of 1000, broken 700 of 1000" in answer.evidence


def test_a_class_that_falls_alone_is_noticed(make_case):
    case = make_case()
    labels = case.setting.split.labels
    case.__dict__["held"] = labels != 2
    answer = even_classes(case)
    assert answer.verdict == "warn"
    assert answer.evidence == "Worst class c: 0 of 22 hold; 26 of 48 over all."
    case.__dict__["held"] = torch.arange(48) % 2 == 0
    assert even_classes(case).verdict == "pass"
