"""Are the adversarial images what they are said to be? Within the threat, misclassified, and images at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustpeft.attacks import AttackPlan, Driver, Judge
from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.question import Question
from robustpeft.records import Check
from robustpeft.types import Threat

__all__ = ["adversarial_images", "eight_bits"]

_ROUNDING = 1e-3  # of the largest logit: what another batch size may change in float32, and ten times that

KEPT = Question(
    "threat_kept",
    "Adversarial images lie within the threat",
    "integrity",
    "The attack is wrong: project onto the ball and into [0, 1] before the model is asked.",
)
AGAIN = Question(
    "verified_again",
    "What was counted as broken is broken whenever it is asked about",
    "integrity",
    "Find out what the answers depend on besides the image: chance, neighbours in the batch, earlier calls.",
)
EIGHT_BITS = Question(
    "eight_bits",
    "Adversarial images survive being saved with 8 bits a channel",
    "statistics",
    "Where an attack must pass through image files, report the count after rounding beside the other.",
)


@dataclass(frozen=True)
class Found:
    """Adversarial images, with what they came from.

    Args:
        images: Float32 (m, 3, h, w), clean.
        points: Likewise, adversarial.
        labels: Int64 (m,).
        threats: The threat within which each was found.
    """

    images: Tensor
    points: Tensor
    labels: Tensor
    threats: tuple[Threat, ...]

    def of(self, threat: Threat) -> Tensor:
        """Return the rows (int64) found within this threat."""
        return torch.tensor([row for row, own in enumerate(self.threats) if own == threat], dtype=torch.int64)


def found_images(case: Case) -> Found | None:
    """Return the adversarial images that were kept; found once more if the attacks lie in an earlier process.

    None if nothing was broken.
    """
    points = case.keepsake.points or _find_again(case)
    if not points:
        return None
    places = {image: place for place, image in enumerate(case.setting.split.ids.tolist())}
    chosen = sorted(points, key=lambda key: places[key[0]])
    sample = case.load(case.setting.split.subset(torch.tensor([places[key[0]] for key in chosen])))
    adversarial = torch.stack([points[key] for key in chosen]).to(sample.images.device)
    return Found(sample.images, adversarial, sample.labels, tuple(case.plan.threats[key[2]] for key in chosen))


def _find_again(case: Case) -> dict[tuple[int, int, int], Tensor]:
    lost = (case.correct & ~case.held).nonzero().flatten()[: case.effort.images]
    if case.threat is None or len(lost) == 0:
        return {}
    points: dict[tuple[int, int, int], Tensor] = {}
    last = len(case.plan.threats) - 1
    plan = AttackPlan(case.plan.searches, (case.threat,), case.setting.seed, cascade=True)
    driver = Driver(
        slots=case.setting.width,
        on_found=lambda image, stage, point: points.__setitem__((image, stage.attack, last), point.detach().cpu()),
    )
    driver.run(case.model, case.setting.split.subset(lost), plan)
    return points


def adversarial_images(case: Case) -> Sequence[Check]:
    """Return whether adversarial images keep their threat, stay broken when asked again, and survive 8 bits.

    Cost:
        3 forwards for each image that is looked at.
    """
    found = found_images(case)
    if found is None:
        nothing = "No image was broken." if case.plan.attacks else "No attack was tried."
        return [question.skips(nothing) for question in (KEPT, AGAIN, EIGHT_BITS)]
    return [_kept(found), _again(case, found), _rounded(case, found)]


def _kept(found: Found) -> Check:
    """Judge norms in float64 against epsilon * (1 + 1e-5) + 1e-7, and the box exactly."""
    low, high = (float(value) for value in torch.aminmax(found.points))
    if not (low >= 0 and high <= 1):
        return KEPT.fails(f"{len(found.points)} images, values from {low:.6g} to {high:.6g}.")
    shares = []
    for threat in dict.fromkeys(found.threats):
        rows = found.of(threat)
        sizes = threat.size(found.points[rows].double() - found.images[rows].double())
        beyond = int((sizes > threat.epsilon * (1 + 1e-5) + 1e-7).sum())
        if beyond or not bool(torch.isfinite(sizes).all()):
            return KEPT.fails(
                f"{beyond} of {len(rows)} images exceed {threat}: the largest has {float(sizes.max()):.7g}."
            )
        shares.append(float(sizes.max()) / threat.epsilon)
    return KEPT.passes(
        f"{len(found.points)} images within [0, 1]; in float64 the largest perturbation is {max(shares):.4f} epsilon."
    )


def _again(case: Case, found: Found) -> Check:
    """Ask one by one, and all together in the opposite order; a margin of rounding size may fall on either side."""
    count, tolerance = len(found.points), _ROUNDING * case.scale
    alone = Judge(case.model, 1)(found.points, found.labels).margins
    together = Judge(case.model, count)(found.points.flip(0), found.labels.flip(0)).margins.flip(0)
    worst = torch.minimum(alone, together)
    refuted = int((worst < -tolerance).sum())
    if refuted:
        return AGAIN.fails(f"{refuted} of {count} images that were counted as broken are recognised when asked again.")
    edge = int((worst <= 0).sum())
    more = f", {edge} of them by less than rounding" if edge else ""
    return AGAIN.passes(f"{count} images are misclassified again, alone and in a batch of {count}{more}.")


def _rounded(case: Case, found: Found) -> Check:
    rounded = eight_bits(found.images, found.points)
    verdict = case.setting.judge(rounded, found.labels)
    count, kept = len(rounded), int((verdict.margins > 0).sum())
    say = EIGHT_BITS.passes if 2 * kept >= count else EIGHT_BITS.warns  # searches stop just behind the boundary
    return say(
        f"{kept} of {count} images that are broken in float32 are broken after rounding to 8 bits, within the threat."
    )


def eight_bits(images: Tensor, points: Tensor) -> Tensor:
    """Return the points on the lattice of multiples of 1/255, no value further from the image's than it was.

    The nearest multiple is taken or, where it lies beyond, the one before it towards the image. If the images lie on
    the lattice themselves, no perturbation grows in any norm.

    Args:
        images: Float (b, 3, h, w) in [0, 1], clean.
        points: Likewise, adversarial.
    """
    near, start = (points * 255).round(), images * 255
    beyond = (near - start).abs() > (points * 255 - start).abs() + 1e-3
    return (torch.where(beyond, near - torch.sign(near - start), near) / 255).clamp(0, 1)
