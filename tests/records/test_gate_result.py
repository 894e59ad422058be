import pytest

from robustpeft.records.gate_result import Demand, GateResult


@pytest.mark.parametrize(
    ("judgements", "whole"),
    [
        (["pass", "waived"], "pass"),
        (["pass", "unknown"], "unknown"),
        (["unknown", "fail", "pass"], "fail"),
        ([], "unknown"),
    ],
)
def test_the_worst_demand_decides(judgements, whole):
    demands = tuple(Demand(str(i), "", "", judgement) for i, judgement in enumerate(judgements))
    assert GateResult("LoRA", demands).judgement == whole
