import dataclasses
import sys

import pytest

from robustpeft.errors import UserError
from robustpeft.study.grid import EXECUTORS, Local, RayTasks, Resources, SlurmArray, executor_of
from robustpeft.study.grid.executor import Executor, Parcel

MINE = """
from dataclasses import dataclass
from robustpeft.study.grid import Executor

@dataclass(frozen=True)
class Mine(Executor):
    gpus: float = 0
    name_of_queue: str = "long"

    def run(self, work, jobs):
        for job in jobs:
            yield work(job)
"""


def test_every_entry_is_a_frozen_value_that_can_be_made_without_arguments():
    for name, entry in EXECUTORS.items():
        made = entry()
        assert isinstance(made, Executor), name
        assert made == entry()
        with pytest.raises(dataclasses.FrozenInstanceError):
            made.new = 1


def test_shares_and_block_come_from_the_study_and_settings_stand_over_them(study):
    asked = dataclasses.replace(study, resources=Resources(4, 1), slurm={"partition": "gpu", "time": "2h"})
    assert executor_of(asked, "local", {"workers": 2}) == Local(2)
    assert executor_of(asked, "ray", {"gpus": 0.5}) == RayTasks(4, 0.5)
    assert executor_of(asked, "slurm", {"time": "1d"}) == SlurmArray(4, 1, "gpu", time="1d")


def test_one_of_ones_own_is_named_by_module_and_class(study, tmp_path, monkeypatch):
    (tmp_path / "my_cluster.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    asked = dataclasses.replace(study, resources=Resources(4, 1))
    made = executor_of(asked, "my_cluster:Mine", {"name_of_queue": "short"})
    assert made == sys.modules["my_cluster"].Mine(gpus=1, name_of_queue="short")


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("slrum", {}, "unknown executor 'slrum'; did you mean 'slurm'"),
        ("slurm", {"partitoin": "gpu"}, "unknown key 'slurm.partitoin'; did you mean 'partition'"),
        ("slurm", {"gpus": 0.5}, "slurm.gpus must be .*integer.*; got 0.5"),
        ("slurm", {"time": 14400}, "time must have a unit"),
        ("ray", {"workers": 2}, "unknown key 'ray.workers'"),
        ("robustpeft.study.grid:Study", {}, "is not a executor"),
    ],
)
def test_what_cannot_be_meant_is_refused(study, name, settings, said):
    with pytest.raises(UserError, match=said):
        executor_of(study, name, settings)


def test_a_parcel_says_so_if_the_other_machine_has_another_file_system(tmp_path):
    with pytest.raises(UserError, match="all machines of a study need the same file system"):
        Parcel(b"", (), str(tmp_path / "nowhere"), 1).deliver()
