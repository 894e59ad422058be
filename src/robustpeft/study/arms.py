"""Which technique is better, fairly asked? Same data, schedule, threat, seeds and number of trials for every arm.

Selection comes first: each arm is tuned at each of its learning rates with one seed, and the rate with the most
validation images right under the selection attack wins (right on clean images, for ordinary tuning). The winner is
tuned again on fresh seeds, and only these runs see the test images. All trials stay in the result.

A study of a file (`robustpeft.study.grid`) asks the same of any grid, with a store, other machines and a report: it is
for questions of one's own. This stays for ``robustpeft demo --with-full`` and two benchmarks whose tables stand in the
documents: a few recipes that ship, compared in one call, into one JSON file, with nothing to resume.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from robustpeft.attacks import PGD
from robustpeft.auditing import AuditPlan
from robustpeft.records import write_json
from robustpeft.study.audit_model import audit
from robustpeft.study.learning_rates import at_edge, best_trial
from robustpeft.study.recipe import dump_recipe, read_recipe
from robustpeft.study.tune import load_pair, tune_recipe

__all__ = [
    "DIGITS_ARMS",
    "DIGITS_JUDGE",
    "DIGITS_SEEDS",
    "DIGITS_TRIALS",
    "Arm",
    "Comparison",
    "Trial",
    "compare_arms",
    "comparison_table",
    "selection_list",
]


@dataclass(frozen=True)
class Arm:
    """One technique in a comparison.

    Args:
        label: Its name in tables.
        recipe: A shipped recipe or a file.
        learning_rates: What is tried; the same number for every arm.
        overrides: Dotted overrides of the recipe.
    """

    label: str
    recipe: str
    learning_rates: tuple[float, ...]
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One tuning run.

    Args:
        arm: Label of its arm.
        learning_rate: Peak rate.
        seed: Of all randomness.
        num_trained: Trained parameters, head included.
        num_parameters: Parameters of the backbone with its head.
        validation_n: Validation images.
        validation_clean: Right of them.
        validation_robust: Right under the selection attack.
        test_n: Test images; 0 for a trial of selection, which never sees them.
        test_clean: Right of them.
        test_robust: Right under every attack of the audit at its largest epsilon.
        seconds: Of tuning.
    """

    arm: str
    learning_rate: float
    seed: int
    num_trained: int
    num_parameters: int
    validation_n: int
    validation_clean: int
    validation_robust: int
    test_n: int
    test_clean: int
    test_robust: int
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """What came of it.

    Args:
        trials: All of them.
        chosen: Learning rate of each arm, by label.
        edges: Labels of the arms whose best rate lies at the edge of their grid: more might be gained beyond it.
    """

    trials: tuple[Trial, ...]
    chosen: dict[str, float]
    edges: tuple[str, ...]

    def final(self, arm: str) -> list[Trial]:
        """Return the runs of an arm that saw the test images."""
        return [trial for trial in self.trials if trial.arm == arm and trial.test_n]

    def mean(self, arm: str, what: str) -> float:
        """Return the mean over seeds of ``test_clean`` or ``test_robust`` as a share of the test images."""
        return statistics.fmean(self.shares(arm, what))

    def deviation(self, arm: str, what: str) -> float:
        """Return the standard deviation over seeds of the same share."""
        return statistics.stdev(self.shares(arm, what))

    def shares(self, arm: str, what: str) -> list[float]:
        """Return ``test_clean`` or ``test_robust`` as a share of the test images, one per seed."""
        return [float(getattr(trial, what)) / trial.test_n for trial in self.final(arm)]


DIGITS_ARMS = (
    Arm("LoRA, ordinary", "lora-digits", (3e-4, 1e-3, 3e-3, 1e-2)),
    Arm("FullLoRA, adversarial", "fulllora-digits", (1e-2, 1.5e-2, 2e-2, 3e-2)),
    Arm("FullLoRA and norms, adversarial", "fulllora-norms-digits", (1e-2, 2e-2, 3e-2, 5e-2)),
    Arm("full tuning, adversarial", "full-digits", (1e-3, 3e-3, 6e-3, 1e-2)),
)
"""What ``robustpeft demo --with-full`` and the benchmark compare."""

DIGITS_JUDGE = AuditPlan(epsilons=(0.1,), attacks=(PGD(steps=20),), perturbations=(), images=None, gallery=0)
"""Who judges them: PGD-20 at epsilon 0.1, the best of all its iterates, on all 359 test images."""

DIGITS_SEEDS = (1, 2, 3)
DIGITS_TRIALS = sum(len(arm.learning_rates) + len(DIGITS_SEEDS) for arm in DIGITS_ARMS)


def compare_arms(
    arms: Sequence[Arm],
    plan: AuditPlan,
    output: Path,
    *,
    seeds: Sequence[int] = DIGITS_SEEDS,
    selection_seed: int = 0,
    workers: int = 1,
) -> Iterator[Trial | Comparison]:
    """Yield every trial when it is done, and the comparison at the end.

    Args:
        arms: What is compared; with a single learning rate each there is no selection.
        plan: How the winners are judged on the test images.
        output: Directory of the trials; a trial that lies there already is not run again.
        seeds: Of the winners' runs.
        selection_seed: Of the trials of selection.
        workers: Processes with one thread each.

    Raises:
        ValueError: If the arms have different numbers of trials.
    """
    if len({len(arm.learning_rates) for arm in arms}) != 1:
        raise ValueError("every arm needs the same number of learning rates")
    selection: list[Trial] = []
    undecided = [arm for arm in arms if len(arm.learning_rates) > 1]
    jobs = [(arm, rate, selection_seed, None, output) for arm in undecided for rate in arm.learning_rates]
    for trial in _run_all(jobs, workers):
        selection.append(trial)
        yield trial
    chosen = {arm.label: arm.learning_rates[0] for arm in arms}
    chosen |= {arm.label: best_trial([t for t in selection if t.arm == arm.label]).learning_rate for arm in undecided}
    final: list[Trial] = []
    for trial in _run_all([(arm, chosen[arm.label], seed, plan, output) for arm in arms for seed in seeds], workers):
        final.append(trial)
        yield trial
    edges = tuple(arm.label for arm in undecided if at_edge(chosen[arm.label], arm.learning_rates))
    comparison = Comparison(tuple(selection + final), chosen, edges)
    write_json(output / "comparison.json", asdict(comparison))
    yield comparison


Job = tuple[Arm, float, int, AuditPlan | None, Path]


def _run_all(jobs: Sequence[Job], workers: int) -> Iterator[Trial]:
    if workers == 1:
        yield from map(_run, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        for future in as_completed([pool.submit(_run, job) for job in jobs]):
            yield future.result()


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _run(job: Job) -> Trial:
    arm, rate, seed, plan, output = job
    recipe = read_recipe(arm.recipe, [*arm.overrides, f"training.learning_rate={rate}", f"seed={seed}"])
    identity = hashlib.sha256(f"{dump_recipe(recipe)}{plan!r}".encode()).hexdigest()[:16]
    file = output / "trials" / f"{identity}.json"
    if file.is_file():
        return Trial(**json.loads(file.read_text(encoding="utf-8")))
    run = tune_recipe(recipe, output / "runs" / identity, overwrite=True, device="cpu")
    clean = robust = total = 0
    if plan is not None:
        record = audit(run.model, load_pair(recipe)[1], plan=plan, label=arm.label, output=run.path, seed=0)
        attacks = [m.key for m in record.of("attack") if m.strength == max(plan.epsilons)]
        total, clean = record["clean"].correct.n, record["clean"].correct.count
        robust = sum(all(row.predictions[key] == row.label for key in ("clean", *attacks)) for row in record.rows)
    scores = run.tuning["validation"]
    subject_parameters = sum(p.numel() for p in recipe.backbone.load().parameters())
    trial = Trial(
        arm.label,
        rate,
        seed,
        run.tuning["num_trained"],
        subject_parameters,
        scores["n"],
        scores["clean"],
        scores["robust"],
        total,
        clean,
        robust,
        run.tuning["seconds"],
    )
    write_json(file, asdict(trial))
    return trial


def comparison_table(comparison: Comparison, reference: str) -> str:
    """Return the comparison as Markdown: mean and standard deviation over seeds, each run, and the ratio to one arm."""
    labels = list(comparison.chosen)
    base = comparison.mean(reference, "test_robust")
    lines = [
        f"| arm | learning rate | trained parameters | clean | robust | each seed | of {reference} |",
        "|---|---|---|---|---|---|---|",
    ]
    for label in labels:
        runs = comparison.final(label)
        each = ", ".join(f"{run.test_robust}/{run.test_n}" for run in runs)
        edge = " (edge of its grid)" if label in comparison.edges else ""
        clean, robust = (
            f"{100 * comparison.mean(label, what):.1f} +- {100 * comparison.deviation(label, what):.1f}"
            for what in ("test_clean", "test_robust")
        )
        ratio = f"{comparison.mean(label, 'test_robust') / base:.2f}" if base else "-"
        lines.append(
            f"| {label} | {comparison.chosen[label]:g}{edge} | {runs[0].num_trained:,} "
            f"({100 * runs[0].num_trained / runs[0].num_parameters:.1f} %) | {clean} | {robust} | {each} "
            f"| {ratio} |"
        )
    seeds = sorted({run.seed for label in labels for run in comparison.final(label)})
    lines += ["", f"Mean and standard deviation over seeds {seeds}, n = {comparison.trials[-1].test_n} test images."]
    return "\n".join(lines)


def selection_list(comparison: Comparison) -> str:
    """Return all trials of selection as a Markdown list: what was right on validation images, clean and attacked."""
    labels = list(comparison.chosen)
    selection = [trial for trial in comparison.trials if not trial.test_n]
    return "\n".join(
        f"- {t.arm}, learning rate {t.learning_rate:g}: "
        f"{t.validation_clean} clean, {t.validation_robust} under attack, of {t.validation_n}"
        for t in sorted(selection, key=lambda t: (labels.index(t.arm), t.learning_rate))
    )
