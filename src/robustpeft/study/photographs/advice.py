"""What follows from how a folder of photographs is made? What to mend, what to know, in sentences with counts."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from robustpeft.data.duplicates import Duplicate
from robustpeft.data.partition import TEST_SHARE, VALIDATION_SHARE
from robustpeft.data.reading import listing
from robustpeft.data.survey import Photograph, Survey
from robustpeft.records import Rate

__all__ = ["Note", "notes_of", "count_to_test"]

_TINY = 20  # fewer images than this leave 4 to test on
_LEAST = 3  # one for each of train, validation and test
_UNEVEN = 5.0
_ALL_THE_SAME = 0.5  # how far two classes' shares may differ before a network can read the class off them


@dataclass(frozen=True)
class Note:
    """One thing that was seen.

    Args:
        kind: ``problem`` (tuning would stop at it), ``warning`` (the result would mislead) or ``note``.
        text: One sentence, and what to do.
    """

    kind: Literal["problem", "warning", "note"]
    text: str


def notes_of(survey: Survey) -> tuple[Note, ...]:
    """Return what was seen, problems first."""
    order = {"problem": 0, "warning": 1, "note": 2}
    found = [note for part in _PARTS for note in part(survey)]
    return tuple(sorted(found, key=lambda note: order[note.kind]))


def count_to_test(survey: Survey, class_name: str) -> int:
    """Return how many photographs of a class there will be to test on, about."""
    if "test" in survey.content.split_names:
        return sum(i.class_name == class_name and i.split == "test" for i in survey.content.images)
    return round(TEST_SHARE * survey.counts[class_name])


def _broken(survey: Survey) -> Iterator[Note]:
    if survey.broken:
        files = "1 file" if len(survey.broken) == 1 else f"{len(survey.broken)} files"
        yield Note(
            "warning",
            f"{files} cannot be read: {listing(survey.broken, 3)}; the recipe leaves them out (skip_broken)",
        )
    if survey.opened < len(survey.content.images):
        yield Note("note", f"{survey.opened:,} of {len(survey.content.images):,} files were opened, evenly spread")
    if survey.content.strangers:
        yield Note("note", f"{len(survey.content.strangers)} files are no images by their name; they are left out")


def _classes(survey: Survey) -> Iterator[Note]:
    counts = survey.counts
    if len(counts) < 2:
        yield Note("problem", "there is one class only; a classifier needs at least two class folders")
        return
    hopeless = [name for name, count in counts.items() if count < _LEAST]
    if hopeless:
        yield Note(
            "problem",
            f"fewer than {_LEAST} photographs of {listing(hopeless)}: nothing is left to test on; add some, or move "
            "the folder away",
        )
    tiny = [f"{name} ({count})" for name, count in counts.items() if _LEAST <= count < _TINY]
    if tiny:
        yield Note("warning", f"few photographs of {listing(tiny)}: what is measured on them is hardly known")
    largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[largest] >= _UNEVEN * max(counts[smallest], 1):
        share = counts[largest] / sum(counts.values())
        yield Note(
            "warning",
            f"classes are uneven: {counts[largest]:,} of {largest}, {counts[smallest]:,} of {smallest}; whoever always "
            f"says {largest} is right {100 * share:.0f} % of the time: read the report class by class",
        )


def _splits(survey: Survey) -> Iterator[Note]:
    missing = [name for name in ("validation", "test") if name not in survey.content.split_names]
    if missing:
        shares = {"validation": VALIDATION_SHARE, "test": TEST_SHARE}
        said = " and ".join(f"{100 * shares[name]:.0f} % for {name}" for name in missing)
        yield Note("note", f"no folder for {' or '.join(missing)}: {said} will be taken out by chance, once, and kept")
    n = sum(count_to_test(survey, name) for name in survey.counts)
    low, high = Rate(n // 2, n).interval()
    yield Note(
        "note",
        f"about {n:,} photographs to test on: a rate near 50 % will be known to +-{50 * (high - low):.0f} points",
    )


def _copies(survey: Survey) -> Iterator[Note]:
    by_path = {photograph.path: photograph for photograph in survey.photographs}
    pairs = [(copy, by_path[copy.name], by_path[copy.copy_name]) for copy in survey.copies]
    across = [copy for copy, a, b in pairs if a.split != b.split]
    if across:
        yield Note(
            "warning",
            f"{_number(across)} across train, validation and test: {listing(across, 3)}; what is tested would be what "
            "was learned: remove one of each",
        )
    together = [copy for copy, a, b in pairs if a.split == b.split]
    if together and not survey.content.split_names:
        yield Note(
            "warning",
            f"{_number(together)} that chance may put on both sides of the split: {listing(together, 3)}; remove them, "
            "or keep them together with data.group",
        )
    elif together:
        yield Note("note", f"{_number(together)} within a split: {listing(together, 3)}")
    contrary = [copy for copy, a, b in pairs if a.class_name != b.class_name]
    if contrary:
        yield Note("warning", f"{_number(contrary)} in two classes: {listing(contrary, 3)}; one of them is wrong")


def _number(copies: Sequence[Duplicate]) -> str:
    exact = sum(copy.exact for copy in copies)
    pairs = "1 pair" if len(copies) == 1 else f"{len(copies)} pairs"
    return f"{pairs} of (nearly) equal photographs, {exact} of them exact,"


def _pixels(survey: Survey) -> Iterator[Note]:
    if not survey.photographs:
        return
    sides = sorted(min(photograph.width, photograph.height) for photograph in survey.photographs)
    small = sum(side < 224 for side in sides)
    middle = statistics.median_low(sides)
    yield Note("note", f"shorter sides from {sides[0]} to {sides[-1]} pixels, half of them {middle} or less")
    if small:
        yield Note("note", f"{small:,} are smaller than the 224 pixels that the network sees: they will be enlarged")
    turned = sum(photograph.turned for photograph in survey.photographs)
    if turned:
        yield Note(
            "note", f"{turned:,} are turned upright by their EXIF orientation; a program that ignores it sees others"
        )
    grey = sum(photograph.grey for photograph in survey.photographs)
    if grey:
        yield Note("note", f"{grey:,} have no colour")


def _shortcuts(survey: Survey) -> Iterator[Note]:
    """A class that can be told by what has nothing to do with it will be."""
    grey = _contrast(survey, lambda photograph: photograph.grey)
    if grey:
        yield Note("warning", f"{grey[0]} is mostly grey and {grey[1]} is not: the network may learn that instead")
    for kind in sorted({photograph.kind for photograph in survey.photographs}):
        told = _contrast(survey, partial(_is_kind, kind))
        if told:
            yield Note(
                "warning",
                f"{told[0]} is mostly {kind} files and {told[1]} is not: the traces of a format may give classes away",
            )
            return


def _is_kind(kind: str, photograph: Photograph) -> bool:
    return photograph.kind == kind


def _contrast(survey: Survey, has: Callable[[Photograph], bool]) -> tuple[str, str] | None:
    """Return the classes with the largest and the smallest share of something, if they are far apart."""
    total = Counter(photograph.class_name for photograph in survey.photographs)
    having = Counter(photograph.class_name for photograph in survey.photographs if has(photograph))
    shares = {name: having[name] / count for name, count in total.items() if count >= _LEAST}
    if len(shares) < 2:
        return None
    most, least = max(shares, key=shares.__getitem__), min(shares, key=shares.__getitem__)
    return (most, least) if shares[most] - shares[least] > _ALL_THE_SAME else None


_PARTS: tuple[Callable[[Survey], Iterator[Note]], ...] = (_classes, _broken, _splits, _copies, _shortcuts, _pixels)
