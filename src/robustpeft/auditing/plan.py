"""Under which conditions is a model looked at, and on how many images?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from robustpeft.attacks import FGSM, PGD, Attack
from robustpeft.auditing.effort import find_effort
from robustpeft.auditing.grid import default_perturbations
from robustpeft.errors import UserError, nearest_hint
from robustpeft.perturbations import Perturbation, corruption_suite
from robustpeft.types import LATER, PRECISIONS, THREATS, Threat, threat_of

__all__ = ["AuditPlan"]


@final
@dataclass(frozen=True)
class AuditPlan:
    """What an audit measures: the clean images, every attack at every epsilon, every perturbation.

    Args:
        epsilons: Radii in pixel units on [0, 1], ascending, above 0; write ``8 / 255``. Reports call the last the main
            one. Empty only if there are no attacks.
        norm: ``linf``, ``l2``, ``l1``, ``patch`` or ``package.module:Class`` of a threat of one's own; fields of the
            threat besides epsilon stand behind it: ``patch:share=0.02,row=0.2``.
        attacks: The searches, cheap before costly. The second PGD of the default climbs the margin: where a confident
            model's cross-entropy is 0 in float32 its gradient is too, and PGD along it finds nothing that is there.
            One whose result is an iterate that it never looked at
            (``PGD(keep="last")``) is refused: it would make a model look better than it is.
        widest: Searches beside them within the largest radius alone, for what would cost too much at each.
        perturbations: The changes without an adversary; None for `default_perturbations` at the images' size.
        corruptions: Severities, 1 to 5, at which the 15 common corruptions come on top of them: 15 forwards each.
        black_box: Searches without gradients, within the largest radius alone and also on images that others broke, so
            that the query that broke each can be counted: ``(Square(queries=4999),)`` is 5,000 of them, its first point
            being one.
        black_box_images: Those on so many of the images alone, a stratified subset; None for all of them, as it must be
            where there are no other attacks.
        transfer: Images made on the model without its adapter, if it has one, are judged within the largest radius:
            21 forwards and 20 backwards of that model and 1 forward an image.
        minimal_norms: Look for the smallest perturbation of every image (FMN, 101 forwards and 100 backwards); for
            Linf and L2.
        images: At most this many images, a stratified subset; None for all.
        batch_size: Images per forward pass, at least 1; without influence on the result.
        gallery: Images kept to be looked at, at least 0.
        keep_images: Keep, beside the ledger if there is one, what broke the model within the smallest radius, one
            adversarial image for each image and norm: with them anybody can check the counts without an attack.
        checks: How thoroughly the audit doubts itself: ``none``, or a name in `EFFORTS`.
        precision: Of the attacks' passes: ``float32``, ``bf16``, or ``auto``, which is bf16 on a GPU that computes in
            it. What they find counts once it is confirmed in the model's own precision, and a check attacks a sample
            of what held once more in float32.
        siblings: Directories of the records of other audits of the same images, whose adversarial images are tried
            before any search: 1 forward an image and sibling. What they break is not searched for again, so counts may
            only be lower for them; the record says how many there were. In a seal, the digests of their seals.

    Raises:
        UserError: If a field is not that.
    """

    epsilons: tuple[float, ...]
    norm: str = "linf"
    attacks: tuple[Attack, ...] = (FGSM(), PGD(steps=20), PGD(steps=20, loss="margin"))
    perturbations: tuple[Perturbation, ...] | None = None
    corruptions: tuple[int, ...] = ()
    black_box: tuple[Attack, ...] = ()
    transfer: bool = True
    minimal_norms: bool = False
    images: int | None = 1000
    batch_size: int = 128
    gallery: int = 6
    keep_images: bool = True
    checks: str = "quick"
    precision: str = "float32"
    siblings: tuple[str, ...] = field(default=(), metadata=LATER)
    widest: tuple[Attack, ...] = field(default=(), metadata=LATER)
    black_box_images: int | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        _check_values("attacks", self.attacks, Attack)
        _check_values("widest", self.widest, Attack)
        if self.widest and not self.attacks:
            raise UserError("widest stands beside attacks; an audit within one radius needs attacks alone")
        if both := [attack for attack in self.widest if attack in self.attacks]:
            raise UserError(
                f"{both[0]} stands in attacks, for every radius, and in widest, for the largest; once is enough"
            )
        if self.perturbations is not None:
            _check_values("perturbations", self.perturbations, Perturbation)
        _check_values("corruptions", corruption_suite(self.corruptions), Perturbation)
        if 0 in self.corruptions:
            raise UserError(f"corruptions must be severities from 1 to 5; got {self.corruptions}")
        _check_values("black_box", self.black_box, Attack)
        self._check_black_box()
        if any(isinstance(attack, PGD) and attack.keep == "last" for attack in self.searches):
            raise UserError("an audit needs PGD(keep='best'): with keep='last' nobody looked at the image returned")
        self._check_epsilons()
        find_effort(self.checks)
        if len(set(self.siblings)) < len(self.siblings):
            raise UserError(f"siblings has a record twice; got {', '.join(self.siblings)}")
        if self.precision not in PRECISIONS:
            raise UserError(f"unknown precision {self.precision!r}; {nearest_hint(self.precision, PRECISIONS)}")
        if self.images is not None and self.images < 1:
            raise UserError(f"images must be at least 1, or None for all; got {self.images}")
        if self.black_box_images is not None and self.black_box_images < 1:
            raise UserError(f"black_box_images must be at least 1, or None for all; got {self.black_box_images}")
        if self.black_box_images is not None and not self.attacks:
            raise UserError("black_box_images leaves images out, and without attacks nothing is tried on those")
        if self.batch_size < 1 or self.gallery < 0:
            raise UserError(
                f"batch_size must be at least 1 and gallery at least 0; got {self.batch_size} and {self.gallery}"
            )

    @property
    def searches(self) -> tuple[Attack, ...]:
        """All attacks of the worst case."""
        return (*self.attacks, *self.widest)

    @property
    def threats(self) -> tuple[Threat, ...]:
        """The norm at every epsilon."""
        threat_of(self.norm, 0.0, THREATS)  # a norm that is none is refused, also where there is no radius
        return tuple(threat_of(self.norm, epsilon, THREATS) for epsilon in self.epsilons)

    def perturbations_for(self, image_size: tuple[int, int]) -> tuple[Perturbation, ...]:
        """Return the perturbations for images of this height and width."""
        chosen = default_perturbations(image_size) if self.perturbations is None else self.perturbations
        return (*chosen, *(corruption for corruption in corruption_suite(self.corruptions) if corruption not in chosen))

    def _check_epsilons(self) -> None:
        radii = [threat.epsilon for threat in self.threats]  # each has checked its own
        if 0 in radii or radii != sorted(set(radii)):
            raise UserError(f"epsilons must be above 0 and ascending; got {self.epsilons}")
        if (self.attacks or self.black_box) and not self.epsilons:
            raise UserError("attacks need at least one epsilon; give epsilons, or attacks=() for no attacks")

    def _check_black_box(self) -> None:
        for attack in self.black_box:
            stages = attack.stages(10)
            if len(stages) != 1 or stages[0].course(10).gradients or stages[0].course(10).runs != 1:
                raise UserError(
                    f"black_box takes searches without gradients and in one run, whose queries can be counted "
                    f"(square, hard_label); got {attack}"
                )


def _check_values(field: str, values: object, wanted: type) -> None:
    word = wanted.__name__.lower()
    if not isinstance(values, tuple) or not all(isinstance(value, wanted) for value in values):
        raise UserError(f"{field} must be a tuple of {word} values; got {values!r}")
    for index, value in enumerate(values):
        if value in values[:index]:
            raise UserError(f"{field} has {value} twice")
