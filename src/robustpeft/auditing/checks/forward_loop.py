"""Does the model optimise while it answers? Then one forward is many, and a gradient through it is another matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch

from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.question import Question
from robustpeft.records import Check

__all__ = ["no_inner_optimisation"]

_ENGINE = "_engine_run_backward"  # what torch.autograd.grad, Tensor.backward and torch.func.grad all call
_PUBLIC = ("grad", "backward")

LOOP = Question(
    "no_inner_optimisation",
    "The model computes no gradients while it answers",
    "model",
    "Attack the model without its inner optimisation too, transfer those images, and search by queries.",
)


def no_inner_optimisation(case: Case) -> Check:
    """Return whether the automatic differentiation of torch stays unused in one forward of the sample.

    Loops that optimise without it are not seen.

    Cost:
        1 forward for every image of the sample.

    Source: flags of AutoAttack, "optimisation loop in the forward pass"; there by tracing names of Python functions.
    """
    with _counted() as calls:
        case.setting.judge(case.sample.images, case.sample.labels)
    if calls:
        return LOOP.fails(f"{len(calls)} gradients were computed while {len(case.sample)} images were classified.")
    return LOOP.passes(f"No gradient was computed while {len(case.sample)} images were classified.")


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Within the context every call of the automatic differentiation is noted; it still works."""
    calls: list[str] = []
    names = (_ENGINE,) if hasattr(torch.autograd, _ENGINE) else _PUBLIC  # the first is private and may go
    patches = [mock.patch.object(torch.autograd, name, _noting(getattr(torch.autograd, name), calls)) for name in names]
    for patch in patches:
        patch.start()
    try:
        yield calls
    finally:
        for patch in patches:
            patch.stop()


def _noting(function: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        calls.append(getattr(function, "__name__", ""))
        return function(*args, **kwargs)

    return noted
