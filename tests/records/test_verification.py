import pytest

from robustpeft.records.verification import Finding, Verification


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        (["confirmed", "confirmed"], "confirmed"),
        (["confirmed", "unchecked"], "unchecked"),
        (["unchecked", "refuted", "confirmed"], "refuted"),
        ([], "unchecked"),
    ],
)
def test_the_worst_finding_decides(outcomes, whole):
    findings = tuple(Finding(str(i), outcome, "") for i, outcome in enumerate(outcomes))
    assert Verification("LoRA", findings).outcome == whole
