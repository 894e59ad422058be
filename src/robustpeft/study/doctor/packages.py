"""Which versions are there, do they belong together, and which extras are missing?

Versions are read from what pip wrote, without importing anything: a broken package is named instead of breaking this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement

from robustpeft.study.doctor.finding import Finding, bad, good, warn

__all__ = ["examine_packages", "version_of"]

_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")
_FOR_DEVELOPERS = ("dev", "docs")


def version_of(package: str) -> str | None:
    """Return the version of an installed package, None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def examine_packages(
    version: Callable[[str], str | None] = version_of,
    needs: Callable[[str], list[str]] = lambda package: metadata.requires(package) or [],
) -> Iterator[Finding]:
    """Yield findings on required packages, on what they ask of each other, and on every extra.

    Args:
        version: Tells the version of a package.
        needs: Tells what a package that is installed requires, in pip's words.
    """
    required, extras = _requirements(needs("robustpeft"))
    unmet = [text for requirement in required if (text := _unmet(requirement, version))]
    if unmet:
        yield bad("packages", f"not as required: {'; '.join(unmet)}", "pip install --upgrade robustpeft")
    else:
        shown = ("torch", "torchvision", "timm", "numpy", "pillow")
        yield good("packages", ", ".join(f"{name} {version(name)}" for name in shown))
    yield from _quarrels([*required, *(r for several in extras.values() for r in several)], version, needs)
    yield from _builds(version("torch"), version("torchvision"))
    for name, requirements in sorted(extras.items()):
        if name not in _FOR_DEVELOPERS:
            yield _extra(name, requirements, version)


def _extra(name: str, requirements: list[Requirement], version: Callable[[str], str | None]) -> Finding:
    missing = [text for requirement in requirements if (text := _unmet(requirement, version))]
    if not missing:
        return good(f"extra {name}", ", ".join(f"{r.name} {version(r.name)}" for r in requirements))
    if any(version(requirement.name) for requirement in requirements):
        return warn(f"extra {name}", "; ".join(missing), f"pip install 'robustpeft[{name}]'")
    return Finding(f"extra {name}", "ok", "not installed", f"pip install 'robustpeft[{name}]', if wanted")


def _requirements(lines: list[str]) -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    required: list[Requirement] = []
    extras: dict[str, list[Requirement]] = {}
    for line in lines:
        extra = _EXTRA.search(line)
        (required if extra is None else extras.setdefault(extra[1], [])).append(Requirement(line))
    return required, extras


def _unmet(requirement: Requirement, version: Callable[[str], str | None]) -> str | None:
    """Return what is wrong with one requirement, None if it is met."""
    there = version(requirement.name)
    if there is None:
        return f"{requirement.name} is missing"
    if not requirement.specifier.contains(there, prereleases=True):
        return f"{requirement.name} {there} is not {requirement.specifier}"
    return None


def _quarrels(
    ours: list[Requirement], version: Callable[[str], str | None], needs: Callable[[str], list[str]]
) -> Iterator[Finding]:
    """What pip would refuse but an upgrade of one package leaves behind: torchvision and torch, gradio and pillow."""
    for package in sorted({requirement.name for requirement in ours}):
        for line in needs(package) if version(package) else ():
            try:
                asked = Requirement(line)
            except InvalidRequirement:
                continue
            applies = asked.marker is None or asked.marker.evaluate({"extra": ""})
            if applies and (text := _unmet(asked, version)):
                remedy = f"pip install --upgrade '{package}' '{asked.name}{asked.specifier}'"
                yield bad(package, f"{package} {version(package)} cannot work: {text}", remedy)


def _builds(torch: str | None, torchvision: str | None) -> Iterator[Finding]:
    """Both must be built for the same CUDA, or both for the CPU: the word behind the plus of their versions."""
    builds = [match[1] if (match := re.search(r"\+(\w+)", version or "")) else "" for version in (torch, torchvision)]
    if builds[0] != builds[1] and all(builds):
        yield bad(
            "torchvision",
            f"torch is built for {builds[0]}, torchvision for {builds[1]}",
            "install both from the same index of pytorch.org",
        )
