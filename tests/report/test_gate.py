import pytest
from rich.console import Console

from robustpeft.records.gate_result import Demand, GateResult
from robustpeft.report.gate import gate_sentence, gate_table


def show(thing):
    console = Console(width=200, record=True, force_terminal=False)
    console.print(thing)
    return console.export_text()


def made(*judgements):
    demands = (Demand(f"demand {i}", "at least 40 %", "31.0 % [x]", judged) for i, judged in enumerate(judgements))
    return GateResult("LoRA", tuple(demands))


def test_every_demand_has_a_line():
    text = show(gate_table(made("pass", "fail", "unknown", "waived")))
    for place, word in enumerate(("pass", "FAIL", "not known", "waived")):
        (line,) = (line for line in text.splitlines() if f"demand {place}" in line)
        assert word in line
        assert "31.0 % [x]" in line


@pytest.mark.parametrize(
    ("judgements", "said"),
    [
        (("pass", "pass", "waived"), "Passes: 2 demands are met, 1 check waived."),
        (("pass", "fail", "unknown", "fail"), "Fails: demand 1; demand 3."),
        (("pass", "unknown"), "Cannot be judged: demand 1."),
    ],
)
def test_the_sentence_names_what_stands_in_the_way(judgements, said):
    assert said in show(gate_sentence(made(*judgements)))
