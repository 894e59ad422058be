"""How does a grid of experiments run? One file, a store that never does a thing twice, and an executor."""

from robustpeft.study.grid.cells import Arm, Cell, arms_of
from robustpeft.study.grid.estimate import ArmEstimate, estimate
from robustpeft.study.grid.executor import Executor
from robustpeft.study.grid.executors import EXECUTORS, executor_of
from robustpeft.study.grid.local_executor import Local
from robustpeft.study.grid.perform import Event, Job, perform_cell, work
from robustpeft.study.grid.ray_executor import RayTasks
from robustpeft.study.grid.runner import Place, run_study, summarise
from robustpeft.study.grid.slurm_executor import SlurmArray
from robustpeft.study.grid.status import ArmStatus, clean, forgive, status
from robustpeft.study.grid.store import CellResult, Failure, Store
from robustpeft.study.grid.study_file import Contrast, Grid, Resources, Study, read_study, shipped_studies

__all__ = [
    "EXECUTORS",
    "Arm",
    "ArmEstimate",
    "ArmStatus",
    "Cell",
    "CellResult",
    "Contrast",
    "Event",
    "Executor",
    "Failure",
    "Grid",
    "Job",
    "Local",
    "Place",
    "RayTasks",
    "Resources",
    "SlurmArray",
    "Store",
    "Study",
    "arms_of",
    "clean",
    "estimate",
    "executor_of",
    "forgive",
    "perform_cell",
    "read_study",
    "run_study",
    "shipped_studies",
    "status",
    "summarise",
    "work",
]
