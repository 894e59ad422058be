"""What is a target? Words that name a model, and how a model of that kind is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final

from robustpeft.backbones import ImageClassifier
from robustpeft.study.targets.facts import Facts
from robustpeft.study.targets.normalizations import Normalization

__all__ = ["STRANGERS", "Loaded", "Target"]

STRANGERS: Final = frozenset(
    {"image_size", "normalization", "classes", "class_order", "crop", "claimed_clean", "trust"}
)
"""The fields of `Facts` that matter for any network that does not say them itself."""


@dataclass(frozen=True)
class Loaded:
    """A model as its files have it, before images were shown to it.

    Args:
        model: The classifier; its normalisation and the meaning of its outputs may still be open.
        settled: It says all that has to be known: nothing is probed.
        normalization: What it is normalised with, if anything says so.
        normalization_by: Who says so; ``given`` if a person did.
        outputs: Names of its outputs, if anything says so.
        outputs_by: Who says so; ``given`` if a person did.
        remarks: What was done to its files, for the record.
    """

    model: ImageClassifier
    settled: bool = False
    normalization: Normalization | None = None
    normalization_by: str = ""
    outputs: tuple[str, ...] = ()
    outputs_by: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target(ABC):
    """A model by name, as a value.

    Args:
        words: What was typed.

    Attributes:
        looks_like: How its words look, for help and messages.
        takes: The fields of `Facts` that it reads.
    """

    words: str

    looks_like: ClassVar[str]
    takes: ClassVar[frozenset[str]]

    @classmethod
    @abstractmethod
    def claims(cls, words: str, facts: Facts) -> bool:
        """Return whether these words name a model of this kind, by their form and by what lies there."""

    @abstractmethod
    def load(self, facts: Facts) -> Loaded:
        """Return the model, on the CPU.

        Raises:
            UserError: If it cannot be read, or does not fit what is said of it.
        """
