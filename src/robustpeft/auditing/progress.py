"""How far is the audit, and how long will the rest take?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from robustpeft.attacks import Attack
from robustpeft.auditing.conditions import Condition

__all__ = ["Observer", "Pace", "Progress"]


@dataclass(frozen=True)
class Progress:
    """Where an audit stands, after a batch.

    Args:
        key: The present measurement.
        kind: ``clean``, ``attack`` or ``perturbation``.
        epsilon: Radius of the present attack; None without one.
        measurement: Number of the present measurement, from 1.
        measurements: Measurements in all.
        images_done: Images done in the present measurement.
        images: Images of the present measurement.
        clean_accuracy: Share of correct answers on the clean images so far, in [0, 1].
        accuracy: Share of correct answers in the present measurement so far, in [0, 1].
        seconds_left: Estimate; None as long as an attack to come has not been timed.
    """

    key: str
    kind: str
    epsilon: float | None
    measurement: int
    measurements: int
    images_done: int
    images: int
    clean_accuracy: float
    accuracy: float
    seconds_left: float | None


Observer = Callable[[Progress], None]


class Pace:
    """Times measurements, tells the observer, and guesses the rest from what was timed.

    The seconds an image takes depend on the attack but hardly on epsilon; a perturbation takes as long as no change.

    Args:
        conditions: What will be measured, in order.
        images: Images of each measurement.
        observer: Whom to tell; nobody if None.
        asked: At most so many are those of the searches that count questions; None for all.
    """

    def __init__(
        self, conditions: Sequence[Condition], images: int, observer: Observer | None, asked: int | None = None
    ) -> None:
        self._conditions = tuple(conditions)
        self._images = images
        self._asked = images if asked is None else min(asked, images)
        self._observer = observer
        self._seconds_an_image: dict[Attack | None, float] = {}
        self._clean_accuracy = 0.0

    def images_of(self, condition: Condition) -> int:
        """Return how many images a measurement has."""
        return self._images if condition.queries is None else self._asked

    def tell(self, condition: Condition, images_done: int, correct: int, seconds: float) -> None:
        """Take note of where the present measurement stands, and tell the observer.

        Args:
            condition: The present one.
            images_done: Of this measurement; at least 1.
            correct: How many of them were classified correctly.
            seconds: Spent on them.
        """
        accuracy = correct / images_done
        if condition.kind == "clean":
            self._clean_accuracy = accuracy
        if condition.kind != "perturbation":
            self._seconds_an_image[_work(condition)] = seconds / images_done
        if self._observer is None:
            return
        number = self._conditions.index(condition) + 1
        self._observer(
            Progress(
                key=condition.key,
                kind=condition.kind,
                epsilon=None if condition.threat is None else condition.threat.epsilon,
                measurement=number,
                measurements=len(self._conditions),
                images_done=images_done,
                images=self.images_of(condition),
                clean_accuracy=self._clean_accuracy,
                accuracy=accuracy,
                seconds_left=self._seconds_left(number, images_done),
            )
        )

    def _seconds_left(self, number: int, images_done: int) -> float | None:
        left = self._conditions[number - 1 :]
        timed = [self._seconds_an_image.get(_work(condition)) for condition in left]
        todo = [self.images_of(condition) for condition in left]
        todo[0] -= images_done
        if None in timed:
            return None
        return sum(seconds * images for seconds, images in zip(timed, todo, strict=True) if seconds is not None)


def _work(condition: Condition) -> Attack | None:
    return condition.change if isinstance(condition.change, Attack) else None
