"""What is the worst image within the threat? One file per search."""

from collections.abc import Mapping

from robustpeft.attacks.apgd import APGD
from robustpeft.attacks.base import Attack
from robustpeft.attacks.cw import CW
from robustpeft.attacks.fgsm import FGSM
from robustpeft.attacks.losses import LOSSES, AttackLoss, margin
from robustpeft.attacks.pgd import PGD
from robustpeft.attacks.search import Course, Query, Search, State
from robustpeft.attacks.target import Target
from robustpeft.types import Axis

__all__ = [
    "APGD",
    "ATTACKS",
    "ATTACK_AXIS",
    "CW",
    "FGSM",
    "LOSSES",
    "PGD",
    "Attack",
    "AttackLoss",
    "Course",
    "Query",
    "Search",
    "State",
    "Target",
    "margin",
]

ATTACKS: Mapping[str, type[Attack]] = {"fgsm": FGSM, "pgd": PGD, "apgd": APGD, "cw": CW}

ATTACK_AXIS = Axis(Attack, ATTACKS, "attack")
