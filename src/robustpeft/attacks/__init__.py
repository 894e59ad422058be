"""What is the worst image within the threat? One file per search."""

from collections.abc import Mapping

from robustpeft.attacks.apgd import APGD
from robustpeft.attacks.autoattack import AutoAttack
from robustpeft.attacks.base import Attack
from robustpeft.attacks.cw import CW
from robustpeft.attacks.driver import Driver, Progress as DriverProgress
from robustpeft.attacks.fab import FAB
from robustpeft.attacks.fgsm import FGSM
from robustpeft.attacks.findings import Findings
from robustpeft.attacks.fmn import FMN
from robustpeft.attacks.hard_label import HardLabel
from robustpeft.attacks.judge import Judge
from robustpeft.attacks.losses import LOSSES, AttackLoss, margin
from robustpeft.attacks.low_precision import Missed, search_again
from robustpeft.attacks.minimal_norm import minimal_norms
from robustpeft.attacks.pgd import PGD
from robustpeft.attacks.plan import AttackPlan, Stage
from robustpeft.attacks.search import Course, Query, Search, State
from robustpeft.attacks.square import Square
from robustpeft.attacks.target import Target
from robustpeft.types import Axis

__all__ = [
    "APGD",
    "ATTACKS",
    "ATTACK_AXIS",
    "CW",
    "FAB",
    "FGSM",
    "FMN",
    "LOSSES",
    "Missed",
    "PGD",
    "Attack",
    "AttackLoss",
    "AttackPlan",
    "AutoAttack",
    "Course",
    "Driver",
    "DriverProgress",
    "Findings",
    "HardLabel",
    "Judge",
    "Query",
    "Search",
    "Square",
    "Stage",
    "State",
    "Target",
    "margin",
    "minimal_norms",
    "search_again",
]

ATTACKS: Mapping[str, type[Attack]] = {
    "fgsm": FGSM,
    "pgd": PGD,
    "apgd": APGD,
    "cw": CW,
    "fab": FAB,
    "fmn": FMN,
    "square": Square,
    "hard_label": HardLabel,
    "autoattack": AutoAttack,
}

ATTACK_AXIS = Axis(Attack, ATTACKS, "attack")
