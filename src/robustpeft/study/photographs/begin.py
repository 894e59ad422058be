"""From a folder to the first command: look, ask, show, choose, write; nothing stays of what was broken off."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import robustpeft
from robustpeft.data.survey import Survey, survey
from robustpeft.errors import UserError, one_line
from robustpeft.records import Rate, write_text
from robustpeft.study.device import find_device
from robustpeft.study.photographs.advice import Note, count_to_test, notes_of
from robustpeft.study.photographs.choice import Choice, Conditions, choose
from robustpeft.study.photographs.commented_recipe import NEXT, commented_recipe
from robustpeft.study.photographs.contact_sheet import choose_photographs, contact_sheet
from robustpeft.study.photographs.network import Network, choose_network, seconds_a_pass, weights_at_hand
from robustpeft.study.photographs.questions import (
    Ask,
    Given,
    Mistake,
    Question,
    epsilon_of,
    existing,
    hardware_of,
    minutes_of,
    mistakes_of,
)
from robustpeft.study.photographs.sheet_files import write_sheet

__all__ = ["Begun", "begin"]

DEFAULT_EPSILON = "4/255"
DEFAULT_TIME = "1h"
NEW_PHOTOS = "NEW_PHOTOS"
"""Stands in a command for what only its reader knows: a photograph, or a folder of them."""
_MOST_COUNTS = 12


@dataclass(frozen=True)
class Begun:
    """What was written, and what comes next.

    Args:
        recipe: The YAML file.
        picture: The contact sheet as PNG.
        page: The contact sheet as HTML.
        commands: What to type next, in order.
        choice: The recipe as a value, and why it is so.
    """

    recipe: Path
    picture: Path
    page: Path
    commands: tuple[str, ...]
    choice: Choice


def begin(
    folder: Path,
    output: Path,
    given: Given,
    *,
    ask: Ask,
    tell: Callable[[str], None],
    observer: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> Begun:
    """Look at a folder, ask what was not given, and write a contact sheet and a commented recipe.

    Args:
        folder: One folder per class, or train, validation and test with these in them.
        output: Where ``NAME.yaml``, ``NAME-epsilon.png`` and ``NAME-epsilon.html`` are written; NAME is the folder's.
        given: What needs no asking.
        ask: Asks a question and returns its value.
        tell: Says a line.
        observer: Told how many files were opened, of how many.
        overwrite: Replace what is there.

    Raises:
        UserError: If the folder cannot be used, something given is wrong, or a file is there already.
        KeyboardInterrupt: On Ctrl-C; files that this call wrote are gone again.
    """
    name = _safe(folder.expanduser().resolve().name)
    stem, recipe_file = output / f"{name}-epsilon", output / f"{name}.yaml"
    with _all_or_nothing((recipe_file, *_sheet_files(stem)), overwrite=overwrite):
        seen = survey(folder.expanduser(), observer=observer)
        notes = notes_of(seen)
        _tell_of(seen, notes, tell)
        asked = _Asked(given, ask)
        hardware = asked.hardware()
        mistakes = asked.mistakes(seen.content.classes)
        for sentence in _of_mistakes(seen, mistakes):
            tell(sentence)
        network = choose_network(hardware, asked.checkpoint(), given.backbone)
        _draw(seen, mistakes, network, hardware, stem, tell)
        tell(f"contact sheet: {_sheet_files(stem)[1]}")
        epsilon, minutes = asked.epsilon(), asked.minutes()
        pace = seconds_a_pass(network.backbone, hardware) if _is_here(hardware) else None
        choice = choose(seen, network, Conditions(hardware, minutes, pace, epsilon))
        commands = _commands(recipe_file, hardware)
        head = _head(seen, notes, _of_mistakes(seen, mistakes), commands)
        write_text(recipe_file, commented_recipe(choice.recipe, head, choice.reasons))
    return Begun(recipe_file, *_sheet_files(stem), commands, choice)


@dataclass(frozen=True)
class _Asked:
    """What was given, or else is asked."""

    given: Given
    ask: Ask

    def hardware(self) -> str:
        here = find_device("auto").type
        said = self._say("Where will it be tuned: auto, cpu, mps, cuda?", "--hardware", "auto", hardware_of)
        return here if said == "auto" else str(said)

    def mistakes(self, classes: Sequence[str]) -> tuple[Mistake, ...]:
        if self.given.mistakes:
            return mistakes_of(self.given.mistakes, classes)
        text = "Which mistakes hurt most? A class, or CLASS:TAKEN-FOR, several with commas; empty for none"
        found: tuple[Mistake, ...] = self.ask(
            Question(text, "--mistake", "", lambda said: mistakes_of(said.split(","), classes))
        )
        return found

    def checkpoint(self) -> str | None:
        text = "A checkpoint of your own (weights file or run)? Empty for published weights"
        found: str | None = self._say(text, "--checkpoint", "", existing)
        return found

    def epsilon(self) -> float:
        text = "The largest epsilon at which you would still call it the same photograph?"
        return float(self._say(text, "--epsilon", DEFAULT_EPSILON, epsilon_of))

    def minutes(self) -> float:
        return float(self._say("How long may tuning take (45m, 2h)?", "--time", DEFAULT_TIME, minutes_of))

    def _say(self, text: str, option: str, default: str, read: Callable[[str], Any]) -> Any:
        said = getattr(self.given, option.removeprefix("--"))
        return self.ask(Question(text, option, default, read)) if said is None else read(said)


def _is_here(hardware: str) -> bool:
    return hardware == "cpu" or find_device("auto").type == hardware


def _draw(
    seen: Survey,
    mistakes: Sequence[Mistake],
    network: Network,
    hardware: str,
    stem: Path,
    tell: Callable[[str], None],
) -> None:
    named = [name for mistake in mistakes for name in (mistake.true, mistake.taken_for) if name is not None]
    shown = choose_photographs(seen, named)
    if not shown:
        raise UserError(f"none of the {seen.opened} files that were opened in {seen.root} can be read")
    at_hand = None if network.start else weights_at_hand(network.backbone)
    device = hardware if _is_here(hardware) else "cpu"
    if at_hand is not None:
        slow = "; on a CPU half a minute or so" if device == "cpu" else ""
        tell(f"contact sheet: {at_hand.name} is attacked on {len(shown)} photographs{slow}")
    write_sheet(contact_sheet(seen.root, shown, at_hand, device=device), seen.root.resolve().name, stem)


def _sheet_files(stem: Path) -> tuple[Path, Path]:
    return stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.html")


def _tell_of(seen: Survey, notes: Sequence[Note], tell: Callable[[str], None]) -> None:
    counts = ", ".join(f"{name} {count:,}" for name, count in list(seen.counts.items())[:_MOST_COUNTS])
    more = f" and {len(seen.counts) - _MOST_COUNTS} more" if len(seen.counts) > _MOST_COUNTS else ""
    tell(one_line(f"{len(seen.content.images):,} photographs of {len(seen.counts)} classes: {counts}{more}", 1000))
    for note in notes:
        tell(one_line(f"{note.kind}: {note.text}", 1000))
    if any(note.kind == "problem" for note in notes):
        raise UserError("the folder cannot be used as it is; the problems stand above")


def _of_mistakes(seen: Survey, mistakes: Sequence[Mistake]) -> list[str]:
    """Return what can and cannot be done about each mistake that hurts."""
    found = []
    for mistake in mistakes:
        n = count_to_test(seen, mistake.true)
        low, high = Rate(n // 2, n).interval()
        found.append(
            f"{mistake}: about {n} photographs of {mistake.true} to test on, so its rate will be known to "
            f"+-{50 * (high - low):.0f} points at worst"
        )
    return found


def _head(seen: Survey, notes: Sequence[Note], mistakes: Sequence[str], commands: Sequence[str]) -> list[str]:
    counts = f"{len(seen.content.images):,} photographs of {len(seen.counts)} classes"
    found = [f"{seen.root.resolve().name}: {counts}. Written by robustpeft init {robustpeft.__version__}."]
    found += [f"{NEXT}{command}" for command in commands]
    found += [f"Seen: {note.text}." for note in notes if note.kind == "warning"]
    if mistakes:
        found += [f"Hurts: {sentence}." for sentence in mistakes]
        found += ["Tuning treats all classes alike; the report of the audit shows each class by itself."]
    return found


def _commands(recipe: Path, hardware: str) -> tuple[str, ...]:
    device = [] if find_device("auto").type == hardware else ["--device", hardware]
    run = str(Path("runs") / recipe.stem)
    return (
        shlex.join(["robustpeft", "tune", str(recipe), "--dry-run", *device]),
        shlex.join(["robustpeft", "tune", str(recipe), *device]),
        shlex.join(["robustpeft", "audit", run, "--undefended", *device]),
        shlex.join(["robustpeft", "predict", run, NEW_PHOTOS, *device]),
    )


@contextmanager
def _all_or_nothing(files: Sequence[Path], *, overwrite: bool) -> Iterator[None]:
    """Within the context files may be written; if it is left early, those that were not there before go again.

    Raises:
        UserError: If one is there and may not be replaced.
    """
    here = [file for file in files if file.exists()]
    if here and not overwrite:
        raise UserError(f"{here[0]} exists; give another --output, or --overwrite")
    try:
        yield
    except BaseException:
        for file in files:
            if file not in here:
                file.unlink(missing_ok=True)
        raise


def _safe(name: str) -> str:
    """Return a name for files that needs no quoting in a shell, whatever the folder is called."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "photographs"
