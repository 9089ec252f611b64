"""How settings of ours are chosen: a grid of weights, one seed, the tune split, one fixed budget. See docs/rules.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.ledger import results as layout
from harness.ledger.descriptor import scaled
from harness.ledger.errors import BadInput, nearest
from harness.ledger.method import BASELINE, ResolvedMethod
from harness.ledger.plan import Plan
from harness.ledger.record import Record
from harness.ledger.rules import TUNE_BASE, TUNE_BUDGETS, TUNE_STEPS
from harness.ledger.stored import TRIALS
from harness.ledger.weights import named_weights
from harness.sweep.story import expand

FURTHEST = 8
"""Steps from the descriptor's weights beyond which no grid is centred."""


def trials_folder(results: Path) -> Path:
    """A results folder of its own, so that no board sees a trial; costs are those of RESULTS."""
    return results / TRIALS


def factor(step: int) -> float:
    """What the descriptor's weights are multiplied with."""
    return float(TUNE_BASE**step)


def spelled(step: int) -> str:
    """`1/9`, `1`, `27`."""
    return f"{factor(step):g}" if step >= 0 else f"1/{factor(-step):g}"


def grid(centre: int) -> tuple[int, ...]:
    """The steps of a grid."""
    return tuple(centre + step for step in TUNE_STEPS)


def centre_of(text: str) -> int:
    """The step that a person wrote as a factor."""
    known = {spelled(step): step for step in range(-FURTHEST, FURTHEST + 1)}
    if text not in known:
        close = nearest(text, known)
        raise BadInput(f"--centre: found {text!r}{close}: expected a power of {TUNE_BASE:g}, as 1/9, 1/3, 1, 3 or 9")
    return known[text]


def budget_of(workload: str, asked: str) -> str:
    """The budget asked for, or the one that the rules fix for the workload."""
    if not asked and workload not in TUNE_BUDGETS:
        fixed = ", ".join(f"{budget} for {name}" for name, budget in TUNE_BUDGETS.items())
        raise BadInput(f"--budget: missing: the rules fix {fixed}; for {workload} name one, the same for all methods")
    return asked or TUNE_BUDGETS[workload]


def tunable(names: Sequence[str]) -> list[str]:
    """The methods without the baseline, which has no weights; BadInput when it is asked for by name."""
    if any(Path(name).stem == BASELINE for name in names):
        raise BadInput(f"{BASELINE} is the student alone: it has no weights to tune")
    return [name for name in expand(names) if name != BASELINE]


@dataclass(frozen=True)
class Trial:
    """One factor, and what became of it; another sweep may be at it still."""

    step: int
    method: ResolvedMethod
    record: Record | None

    @property
    def miou(self) -> float | None:
        """On the tune split."""
        scores = self.record.outcome.scores if self.record else None
        return scores.miou if scores else None

    @property
    def weights(self) -> dict[str, float | None]:
        """By term, as the engine had them."""
        found = self.record.outcome.weights if self.record else {}
        return {weight.name: weight.here(found) for weight in named_weights(self.method)}

    @property
    def ending(self) -> str:
        """With the marks held against it."""
        if self.record is None:
            return "under way elsewhere"
        marks = f" [{', '.join(self.record.marks)}]" if self.record.marks else ""
        return f"{self.record.outcome.ending}{marks}"


@dataclass(frozen=True)
class Tuning:
    """The grid of one method."""

    method: ResolvedMethod
    dataset: str
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial | None:
        """Of the highest mIoU; of equals the one nearest the grid's middle."""
        centre = self.trials[len(self.trials) // 2].step
        scored = [(trial.miou, -abs(trial.step - centre), trial) for trial in self.trials if trial.miou is not None]
        return max(scored, key=lambda each: each[:2])[2] if scored else None

    @property
    def missing(self) -> tuple[Trial, ...]:
        """Trials that an accident took: the same command tries them again."""
        unscored = (trial for trial in self.trials if trial.miou is None)
        results = ("diverged", "out_of_memory", "skipped")
        return tuple(trial for trial in unscored if not trial.record or trial.record.outcome.ending not in results)

    @property
    def next_centre(self) -> int | None:
        """Where the grid must move: to a best that lies at its edge; None when the best is enclosed."""
        edges = (self.trials[0].step, self.trials[-1].step)
        return self.best.step if self.best and self.best.step in edges else None

    def advice(self) -> list[str]:
        """What was found, and what follows from it."""
        name, best, missing = self.method.name, self.best, self.missing
        if missing:
            factors = ", ".join(spelled(trial.step) for trial in missing)
            return [f"{name}: no score yet at {factors}: the same command tries again"]
        if best is None or best.miou is None:
            return [f"{name}: no trial has a score"]
        found = f"{name}: best at {spelled(best.step)}, mIoU {100 * best.miou:.1f} % on tune"
        if self.next_centre is not None:
            factors = ", ".join(spelled(step) for step in grid(self.next_centre))
            move = f"the grid must move to {factors}: add --centre {spelled(self.next_centre)}"
            return [f"{found}, at the grid's edge: {move}"]
        kept = "; these are the descriptor's weights" if best.step == 0 else ""
        return [f"{found}{kept}; the descriptor says so with", *self._lines(best)]

    def _lines(self, best: Trial) -> list[str]:
        """What to write into the descriptor."""
        key, values = self.dataset, best.weights
        places = {weight.name: weight.place for weight in named_weights(best.method)}
        return [
            f"  {place}: weight: {{{key}: {value:.4g}}}, source: {{{key}: ours}}"
            for name, place in places.items()
            if (value := values[name]) is not None
        ]


def tunings(plan: Plan, methods: Sequence[ResolvedMethod], centre: int, results: Path) -> list[Tuning]:
    """What is known of each method's grid, from the records of this plan's runs."""
    runs = [*plan.runs, *(refused.run for refused in plan.refused)]
    keys = {run.method.name: run.key for run in runs}
    latest = layout.latest_attempts(results)

    def trial(method: ResolvedMethod, step: int) -> Trial:
        variant = scaled(method, factor(step))
        key = keys[variant.name]
        record = layout.read_record(results, key, latest[key]) if key in latest else None
        return Trial(step, variant, record)

    dataset = plan.ground.workload.dataset
    return [Tuning(each, dataset, tuple(trial(each, step) for step in grid(centre))) for each in methods]
