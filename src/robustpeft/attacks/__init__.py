"""What is the worst image within the threat? One file per search."""

from collections.abc import Mapping

from robustpeft.attacks.base import Attack, Target
from robustpeft.attacks.fgsm import FGSM
from robustpeft.attacks.losses import LOSSES, cross_entropy, margin
from robustpeft.attacks.pgd import PGD
from robustpeft.types import Axis

__all__ = ["ATTACKS", "ATTACK_AXIS", "FGSM", "LOSSES", "PGD", "Attack", "Target", "cross_entropy", "margin"]

ATTACKS: Mapping[str, type[Attack]] = {"fgsm": FGSM, "pgd": PGD}

ATTACK_AXIS = Axis(Attack, ATTACKS, "attack")
