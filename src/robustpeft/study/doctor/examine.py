"""What does a whole examination look at, and in what order?"""

from __future__ import annotations

import os
from collections.abc import Mapping

from robustpeft.study.device import find_device
from robustpeft.study.doctor.finding import Finding
from robustpeft.study.doctor.machine import examine_machine
from robustpeft.study.doctor.packages import examine_packages
from robustpeft.study.doctor.self_test import examine_itself

__all__ = ["examine"]


def examine(environment: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
    """Return everything that was found, without touching the network or writing anything.

    Args:
        environment: The process's variables; those of this one if None.

    Cost:
        Seconds.
    """
    variables = os.environ if environment is None else environment
    found = [*examine_packages(), *examine_machine(variables)]
    return (*found, *examine_itself(str(find_device("auto"))))
