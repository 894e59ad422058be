"""AutoAttack: four attacks that fail for different reasons, with nothing left to choose.

    standard  APGD on the cross-entropy, APGD on the targeted DLR, FAB, Square with 5000 queries
    plus      APGD on the cross-entropy, APGD on the DLR and FAB, each with 5 restarts, Square, APGD on the targeted DLR
    rand      APGD on the cross-entropy, APGD on the DLR, 20 answers averaged in each step

Each works on the images that the ones before it could not break; images misclassified as they are, are not attacked.

Source: Croce and Hein 2020, arXiv:2003.01690, Section 6, and their code for the order and for ``rand``. Differs: in
``plus`` their FAB goes for the nearest of all classes, and a FAB towards classes without restarts comes last; ours goes
towards classes at once, so that the last would repeat its first passes bit by bit, and is left out.

Fewer than ten classes: their code only warns. Here there are min(9, classes - 1) classes to be reached, and a loss that
has no meaning is replaced by the margin it is a multiple of: the targeted DLR (which needs four classes) by the
targeted margin, the DLR (which needs three) by the margin. Steps do not depend on the length of a gradient, so that it
is the same attack but for the direction in which the quotient bends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

from robustpeft.attacks.apgd import APGD
from robustpeft.attacks.ensemble import Ensemble
from robustpeft.attacks.fab import FAB
from robustpeft.attacks.losses import find_loss
from robustpeft.attacks.search import Search
from robustpeft.attacks.square import Square

__all__ = ["AutoAttack"]


@final
@dataclass(frozen=True)
class AutoAttack(Ensemble):
    """The ensemble by which robustness is usually reported, with the numbers of steps and queries it is defined by.

    It is for Linf and L2: FAB refuses other norms.

    Args:
        version: ``standard``; ``plus`` with restarts, for models whose gradients are in doubt; ``rand`` for models that
            answer at random.
    """

    cost: ClassVar[str] = (
        "standard, a robust image, ten classes: 6900 to 7800 forwards and 1900 to 2800 backwards (FAB's look at points "
        "drawn back makes the difference); a broken image those until it breaks"
    )

    version: Literal["standard", "plus", "rand"] = "standard"

    def stages(self, classes: int) -> tuple[Search[Any], ...]:
        """Return the searches in the order of their version."""
        dlr, targeted = _meaningful("dlr", classes), _meaningful("targeted_dlr", classes)
        if self.version == "rand":
            return APGD(samples=20), APGD(loss=dlr, samples=20)
        targets = min(9, classes - 1)
        towards, square = APGD(loss=targeted, targets=targets), Square(queries=5000)
        if self.version == "standard":
            return APGD(), towards, FAB(targets=targets), square
        several = APGD(restarts=5), APGD(loss=dlr, restarts=5), FAB(restarts=5, targets=targets)
        return *several, square, towards


def _meaningful(loss: str, classes: int) -> str:
    return loss if classes >= find_loss(loss).fewest_classes else loss.replace("dlr", "margin")
