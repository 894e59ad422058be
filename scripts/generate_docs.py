"""Which parts of the documentation follow from the code? Those between `<!-- generated:NAME -->` markers.

python scripts/generate_docs.py            write them anew
python scripts/generate_docs.py --check    fail if one of them is not what the code says
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from typer.main import get_command

from robustpeft.backbones import FAMILIES, Backbone, Family, ImageClassifier, wrap
from robustpeft.cli.app import app
from robustpeft.cli.catalogue import TOPICS, entries_of
from robustpeft.cli.exit_status import MEANINGS
from robustpeft.errors import UserError
from robustpeft.pet import METHODS, PEFT, LNLoRA, NormsAndBiases, PETMethod
from robustpeft.records import Rate, read_record, read_study_record
from robustpeft.report.study.outline import Item, Shown, outline
from robustpeft.report.study.tables import TextTable, table_text

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src" / "robustpeft"
RESULTS = ROOT / "docs" / "results"
_COMMON = {"--help", "--quiet", "--verbose"}  # taken by every command; docs/cli.md says so once
WITH_FIELDS = {"combined": LNLoRA() + NormsAndBiases(), "peft": PEFT("dora", {"r": 8})}
MARKED = re.compile(
    r"(<!-- generated:(?P<name>[a-z0-9-]+) -->\n)(?P<body>.*?)(<!-- /generated:(?P=name) -->)", re.DOTALL
)


def fill(text: str, renderers: Mapping[str, Callable[[], str]]) -> str:
    """Return the text with every marked part rendered anew.

    Raises:
        KeyError: If a marker names no renderer.
    """
    return MARKED.sub(lambda m: f"{m[1]}\n{renderers[m['name']]()}\n\n{m[4]}", text)


def documents() -> list[Path]:
    """Return the Markdown files that may hold generated parts."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table; bars within cells are escaped."""
    lines = [list(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rooms() -> str:
    """Return the rooms from the bottom up, each with its question and what the import contracts let it import."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = [[name.strip() for name in layer.split("|")] for layer in contracts[0]["layers"]]
    below: list[str] = []
    rows = []
    for layer in reversed(layers):
        for name in (full.removeprefix("robustpeft.") for full in layer):
            if (SOURCES / name / "__init__.py").is_file():
                importable = _importable(name, below, contracts)
                everything = len(importable) == len(below) > 4
                rows.append((f"`{name}`", _question(name), "all of these" if everything else ", ".join(importable)))
        below += [full.removeprefix("robustpeft.") for full in layer]
    return markdown_table(("room", "its question", "may import"), rows)


def _question(room: str) -> str:
    docstring = ast.get_docstring(ast.parse((SOURCES / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ").partition("?")[0] + "?"


def _importable(room: str, below: list[str], contracts: list[dict[str, Any]]) -> list[str]:
    forbidden: set[str] = set()
    for contract in contracts:
        if f"robustpeft.{room}" in contract.get("source_modules", ()):
            forbidden |= {module.removeprefix("robustpeft.") for module in contract["forbidden_modules"]}
    return [other for other in below if other not in forbidden and not ("torch" in forbidden and _uses_torch(other))]


def _uses_torch(room: str) -> bool:
    files = (SOURCES / room).rglob("*.py") if (SOURCES / room).is_dir() else [SOURCES / f"{room}.py"]
    return any(re.search(r"^(from|import) torch\b", file.read_text(encoding="utf-8"), re.MULTILINE) for file in files)


def choices(topic: str) -> str:
    """Return what `robustpeft list TOPIC` shows: each name, what it is, and its fields with their defaults."""
    entries = entries_of(topic)
    rows = [(f"`{e.name}`", e.summary.replace("``", "`"), ", ".join(f"`{f}`" for f in e.fields)) for e in entries]
    if any(entry.fields for entry in entries):
        return markdown_table(("name", "what it is", "fields"), rows)
    return markdown_table(("name", "what it is"), [row[:2] for row in rows])


def techniques() -> str:
    """Return what each technique declares, its size by its own formula, and its count on an example of each family."""
    models = {name: _example(family) for name, family in FAMILIES.items()}
    rows = []
    for name, cls in METHODS.items():
        method = WITH_FIELDS[name] if name in WITH_FIELDS else cls()
        counts = [_counted(method, model) for model in models.values()]
        declared = ["yes" if each else "no" for each in (method.identity_at_start, method.mergeable)]
        said = " ".join((inspect.getdoc(cls) or "").split())
        size = re.search(r"without the head: (.*?)(?:[.;:] |[.;:]?$)", said)
        rows.append((f"`{name}`", size[1].replace("``", "`") if size else "", *declared, *counts))
    return markdown_table(("name", "trained parameters", "identity at start", "mergeable", *models), rows)


def _example(family: Family) -> ImageClassifier:
    """Return a network of a family that has shapes and no values."""
    with torch.device("meta"):
        package, _, name = family.example.partition(".")
        if not name:
            return Backbone(family.example, weights=False, num_classes=1000).load()
        library = importlib.import_module(package)
        return wrap(getattr(library, name)(library.ViTConfig(num_labels=1000)))


def _counted(method: PETMethod, model: ImageClassifier) -> str:
    """Return what is trained when it is attached, in which the closed form has to agree; or that it is refused."""
    try:
        handle = method.attach(model)
    except UserError:
        return "refused"
    trained = handle.num_parameters - handle.num_head_parameters
    handle.detach()
    if trained != method.count(model):
        raise ValueError(f"{method!r} counts {method.count(model)} on {model.name}, and trains {trained}")
    return f"{trained:,}"


def commands() -> str:
    """Return every command of the command line with its arguments and options."""
    group: Any = get_command(app)
    return "\n\n".join(_command(name, command) for name, command in group.commands.items())


def _command(name: str, command: Any) -> str:
    shown = [parameter for parameter in command.params if not _COMMON & set(parameter.opts)]
    rows = [(_spellings(p), _shown_default(p), " ".join(p.help.split())) for p in shown]
    table = markdown_table(("argument or option", "default", "meaning"), rows)
    return f"## robustpeft {name}\n\n{inspect.cleandoc(command.help)}\n\n{table}"


def _spellings(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return " ".join(f"`{spelling}`" for spelling in (*parameter.opts, *parameter.secondary_opts))


def _shown_default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    return "" if parameter.default is None or parameter.default is False else f"`{parameter.default}`"


def statuses() -> str:
    """Return with which number a command ends, and what it says."""
    return markdown_table(("status", "meaning"), ((f"{status:d}", meaning) for status, meaning in MEANINGS.items()))


def demo() -> str:
    """Return the headline of the demo's kept records: each share with its 95 % interval."""
    records = [read_record(RESULTS / "demo" / name) for name in ("undefended", "lora-digits", "fulllora-digits")]
    rows = [
        (
            record.subject.label,
            *(_share(record[key].correct) for key in ("clean", "fgsm@linf:0.1", "pgd@linf:0.1")),
            f"{record.subject.num_trained:,} of {record.subject.num_parameters:,}",
        )
        for record in records
    ]
    return markdown_table(
        ("model", "clean accuracy", "under FGSM, 0.1", "under PGD-20, 0.1", "trained parameters"), rows
    )


def _share(rate: Rate) -> str:
    low, high = rate.interval()
    return f"**{100 * rate.fraction:.1f} %** ({100 * low:.1f} to {100 * high:.1f})"


def savings() -> str:
    """Return what `benchmarks/savings.py` kept: time, memory and files of every technique beside full tuning."""
    found = json.loads((RESULTS / "savings.json").read_text(encoding="utf-8"))
    machine = f"{found['machine']}, float32, torch {found['torch']}"
    blocks = [
        f"`{found['command']}` at commit {found['commit']}, {found['date']}: {machine}; {found['attack']}, "
        f"{found['rounds']} rounds in turn with full tuning, medians with quartiles."
    ]
    head = ("technique", "trained parameters", "seconds a step", "of full tuning's")
    head += ("kept for backward, MiB", "gradients and optimiser, MiB", "file, MiB")
    for setting in found["settings"]:
        rows = []
        for name, row in setting["techniques"].items():
            low, middle, high = row["of_full"]
            spread = f"{middle:.2f}" + (f" ({low:.2f} to {high:.2f})" if low < high else "")
            sizes = (row[f"{part}_bytes"] / 2**20 for part in ("saved", "gradient_and_optimizer", "disk"))
            share = f"{row['trained']:,} ({100 * row['trained'] / row['parameters']:.1f} %)"
            rows.append((name, share, f"{row['seconds']:.2f}", spread, *(f"{size:.1f}" for size in sizes)))
        title = f"ViT-Ti at {setting['px']} px, patches of {setting['patch']}, {setting['batch']} images a step."
        blocks += [title, markdown_table(head, rows)]
    return "\n\n".join(blocks)


def api() -> str:
    """Return a heading for each room of the stub of public names, and under it what mkdocstrings shows of each."""
    stub = ast.parse((SOURCES / "__init__.pyi").read_text(encoding="utf-8"))
    parts = []
    for line in (node for node in stub.body if isinstance(node, ast.ImportFrom)):
        shown = [f"::: robustpeft.{alias.name}" for alias in line.names]
        parts.append("\n\n".join([f"## {str(line.module).capitalize()}", *shown]))
    return "\n\n".join(parts)


def study_results(place: Path) -> str:
    """Return what a kept study found: figures and tables, what they say, and how it was done."""
    study, report = read_study_record(place), f"{place.relative_to(ROOT).as_posix()}/report"
    findings, protocol, *sections = outline(study)
    items = [item for each in sections for item in each.items if not (isinstance(item, Shown) and item.detail)]
    items.sort(key=lambda item: isinstance(item, Shown) and isinstance(item.content, TextTable))  # figures come first
    items += [*findings.items, *protocol.items]
    blocks = [f"**{study.question}**", *(_result(item, report) for item in items)]
    blocks.append(f"Costs, all trials of selection and the numbers behind the figures: [report]({report}/report.md).")
    return "\n\n".join(blocks)


def _result(item: Item, report: str) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, tuple):
        return "\n".join(f"- {sentence}" for sentence in item)
    if isinstance(item.content, TextTable):
        return f"{item.content.title}.\n\n{table_text(item.content)}"
    return f"![{item.content.title}]({report}/{item.name}.svg)"


RENDERERS: dict[str, Callable[[], str]] = {
    "rooms": rooms,
    "commands": commands,
    "statuses": statuses,
    "demo": demo,
    "savings": savings,
    "techniques": techniques,
    "api": api,
    **{topic: partial(choices, topic) for topic in TOPICS},
    **{place.name: partial(study_results, place) for place in sorted((RESULTS / "studies").glob("*"))},
}
"""What can be generated, by the name in its marker."""


def main(arguments: list[str] | None = None) -> int:
    """Write or check the documents; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a part is stale")
    check = parser.parse_args(arguments).check
    stale = []
    for path in documents():
        before = path.read_text(encoding="utf-8")
        after = fill(before, RENDERERS)
        if after != before:
            stale.append(path.relative_to(ROOT))
            if not check:
                path.write_text(after, encoding="utf-8")
    for name in stale:
        print(f"{name} is stale; `make docs` writes it anew" if check else f"wrote {name}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
