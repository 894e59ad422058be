import subprocess
import sys
from pathlib import Path

import pytest
import torch

from robustpeft.training.processes import Processes


def test_a_single_process_has_everything_and_changes_nothing():
    processes = Processes()
    rows = torch.arange(5)
    assert processes.is_first
    assert torch.equal(processes.mine(rows), rows)
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    processes.average_gradients([parameter], share=0.5)
    assert torch.equal(parameter.grad, torch.tensor([1.0, 2.0]))
    assert torch.equal(processes.sum(torch.tensor([3.0])), torch.tensor([3.0]))


PROGRAM = """
import importlib.util, os, pathlib, sys, torch
from robustpeft.training import fit

torch.set_num_threads(1)
spec = importlib.util.spec_from_file_location("tools", {conftest!r})
tools = importlib.util.module_from_spec(spec)
sys.modules["tools"] = tools
spec.loader.exec_module(tools)
task = tools.build_task()
output = pathlib.Path(sys.argv[1])
fit(task, output)
if os.environ.get("RANK", "0") == "0":
    torch.save(task.tunable.model.state_dict(), output / "weights.pt")
"""


@pytest.mark.slow
def test_two_processes_train_the_adapter_of_one(tmp_path):
    """The same batches, shared out, give the same weights up to the order of float32 sums."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(conftest=str(Path(__file__).with_name("conftest.py"))))
    common = [sys.executable, "-W", "ignore"]
    subprocess.run([*common, str(program), str(tmp_path / "one")], check=True, timeout=200)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*common, *launcher, str(program), str(tmp_path / "two")], check=True, timeout=200)
    one, two = (torch.load(tmp_path / n / "weights.pt", weights_only=True) for n in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5)
