"""Is it a function of somebody's own that returns a network? ``module:factory``, imported only when it is trusted."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import nn

from robustpeft.backbones import ImageClassifier, wrap
from robustpeft.errors import UserError, nearest_hint
from robustpeft.study.targets.base import STRANGERS, Loaded, Target
from robustpeft.study.targets.checkpoint import checkpoint, fill, refuse_not_finite
from robustpeft.study.targets.facts import Facts

__all__ = ["FactoryTarget"]


@final
@dataclass(frozen=True)
class FactoryTarget(Target):
    """``module:factory``, found in the working directory or installed, called with the ``--option`` arguments.

    What it returns is a module, or what `wrap` makes of one; ``--weights`` are loaded into it.
    """

    looks_like = "module:factory that returns an nn.Module, with --trust"
    takes = STRANGERS | {"weights", "options"}

    @classmethod
    def claims(cls, words: str, facts: Facts) -> bool:
        """Return whether there is a colon between two names."""
        module, colon, name = words.partition(":")
        return bool(colon and name) and all(part.isidentifier() for part in (*module.split("."), *name.split(".")))

    def load(self, facts: Facts) -> Loaded:
        """Return what the factory returns."""
        if not facts.trust:
            raise UserError(
                f"{self.words} is code of somebody's own; nothing was imported. If you trust it, say so: --trust"
            )
        with _working_directory_first():
            made = self._called(_found(self.words), facts)
        remarks: tuple[str, ...] = ()
        network = made.network if isinstance(made, ImageClassifier) else made
        if facts.weights is not None:
            file, tensors, remarks = checkpoint(facts.weights, network.state_dict().keys())
            fill(network, tensors, file.path.name)
        refuse_not_finite(network.state_dict(), self.words)
        if isinstance(made, ImageClassifier):
            return Loaded(made.eval(), settled=bool(made.classes), outputs_by=self.words, remarks=remarks)
        return Loaded(wrap(made.eval(), name=self.words), remarks=remarks)

    def _called(self, factory: Callable[..., Any], facts: Facts) -> nn.Module:
        try:
            made = factory(**facts.options)
        except Exception as error:  # whatever somebody else's code may raise
            arguments = ", ".join(f"{name}={value!r}" for name, value in facts.options.items())
            raise UserError(f"{self.words}({arguments}) raised {type(error).__name__}: {error}") from error
        if not isinstance(made, nn.Module):
            raise UserError(f"{self.words} must return an nn.Module; it returned {type(made).__name__}")
        return made


@contextmanager
def _working_directory_first() -> Iterator[None]:
    """Within the context modules are looked for in the working directory too, as ``python -m`` does."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _found(words: str) -> Callable[..., Any]:
    module_name, _, name = words.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise UserError(f"{module_name} could not be imported ({type(error).__name__}: {error})") from error
        raise UserError(f"no module {module_name!r} in {Path.cwd()} or installed") from error
    except Exception as error:
        raise UserError(f"{module_name} could not be imported ({type(error).__name__}: {error})") from error
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            names = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
            raise UserError(f"{module_name} has no {name!r}; {nearest_hint(name, names)}")
        found = getattr(found, part)
    if not callable(found):
        raise UserError(f"{words} is not callable but {type(found).__name__}; expected a function returning a module")
    called: Callable[..., Any] = found
    return called
