"""Scores that need several budgets, from end points alone: each is a run that spent its budget with a whole schedule.

A point on the way of a longer run has a learning rate that is yet to fall, and says nothing of a run of that length.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.score.stats import Floats

STUDENTS = (1, 10)
"""Among so many the teacher's hours are shared in the view that charges them, and among all that it taught."""

ROUNDING = 1e-9
"""Of a student more than a whole number: no reason to ask for another."""


@dataclass(frozen=True)
class Scaling:
    """The end points of one method, one a budget, from the smallest to the largest."""

    hours: tuple[float, ...]
    """Device-hours of one run."""
    mious: tuple[float, ...]
    """Means over seeds, as fractions."""

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip((0.0, *self.hours), self.hours, strict=False))
        if len(self.hours) != len(self.mious) or not rising:
            raise ValueError(f"{self.hours} device-hours: expected one mIoU each, and more from each to the next")

    @staticmethod
    def of(points: Iterable[tuple[float, float]]) -> "Scaling":
        """Of (device-hours, mIoU), in any order."""
        ordered = sorted(points)
        return Scaling(tuple(hours for hours, _ in ordered), tuple(miou for _, miou in ordered))

    def at(self, hours: float) -> float | None:
        """The mIoU after so many device-hours, linear in their logarithm; None outside of the budgets."""
        if not self.hours or not self.hours[0] <= hours <= self.hours[-1]:
            return None
        return float(np.interp(np.log(hours), np.log(self.hours), self.mious))


def kendall_tau(first: Mapping[str, float], second: Mapping[str, float]) -> float | None:
    """Kendall's tau-b between two rankings (by rank or by mIoU alike) of the methods that stand in both.

    1 when they order every pair of methods alike, -1 when the other way round. None for fewer than two methods, and
    where one of the rankings ties them all.
    """
    shared = sorted(first.keys() & second.keys())
    signs, others = (_signs([ranking[name] for name in shared]) for ranking in (first, second))
    untied = float((signs**2).sum() * (others**2).sum())
    return float((signs * others).sum()) / math.sqrt(untied) if untied else None


def _signs(values: Sequence[float]) -> Floats:
    """Which of every two is the larger: 1, 0 or -1."""
    column = np.array(values, dtype=np.float64)
    return np.sign(column[:, None] - column)


@dataclass(frozen=True)
class Reached:
    """When a method has the baseline's final mIoU."""

    hours: float
    """Device-hours."""
    ratio: float
    """Over the baseline's at its largest budget: under 1 is sooner."""
    interpolated: bool
    """Whether it is read between two budgets, linearly in the logarithm of the hours."""
    at_most: bool
    """Whether the smallest budget was enough already, so that it may have been there sooner."""


def time_to(method: Scaling, baseline: Scaling) -> Reached | None:
    """When the method's end points first reach the baseline's at its largest budget; None if they never do."""
    target, whole = baseline.mious[-1], baseline.hours[-1]
    at = next((at for at, miou in enumerate(method.mious) if miou >= target), None)
    if at is None:
        return None
    if at == 0 or method.mious[at] == target:
        return Reached(method.hours[at], method.hours[at] / whole, interpolated=False, at_most=at == 0)
    hours = _crossing(method, at, target)
    return Reached(hours, hours / whole, interpolated=True, at_most=False)


def _crossing(curve: Scaling, at: int, target: float) -> float:
    """The device-hours between end point `at` and the one before it at which the straight line holds the target."""
    below, above = curve.mious[at - 1 : at + 1]
    share = (target - below) / (above - below)
    # Powers, as logarithms there and back would miss an end point by a rounding.
    return float(curve.hours[at - 1] ** (1 - share) * curve.hours[at] ** share)


def area(curve: Scaling, hours: Sequence[float]) -> float | None:
    """The mean mIoU over the logarithm of device-hours: the area under the end points at these budgets, over its width.

    Only areas over the very same budgets compare, so `hours` are those that all the compared methods have. None for
    fewer than two, and for a method without an end point at one of them.
    """
    budgets = sorted(set(hours))
    at = dict(zip(curve.hours, curve.mious, strict=True))
    if len(budgets) < 2 or not at.keys() >= set(budgets):
        return None
    places = np.log(budgets)
    return float(np.trapezoid([at[budget] for budget in budgets], places) / (places[-1] - places[0]))


def charged(hours: float, teacher_hours: float, students: int) -> float:
    """Device-hours of a student that pays its share of its teacher's training."""
    return hours + teacher_hours / students


@dataclass(frozen=True)
class BreakEven:
    """From how many students on a method pays although its teacher is charged; mIoU as it is, without intervals."""

    students: int | None
    """So many, and any number above; None when it is never, or cannot be told."""
    never: bool = False
    """Whether the method is no better than the baseline even with the teacher for nothing."""
    at_most: int | None = None
    """Where the number cannot be told: one that is enough."""
    why: str = ""
    """Why it cannot be told."""


def break_even(hours: float, miou: float, baseline: Scaling, teacher_hours: float | None) -> BreakEven:
    """The number of students from which on a method is as good as the baseline at equal device-hours in total.

    A student of the method costs `hours` and its share of the teacher's; for that money the baseline alone would have
    trained longer, and got what its scaling curve says. Beyond its largest budget nobody knows what it would have got.
    """
    alone = baseline.at(hours)
    if alone is None:
        return BreakEven(None, why="the baseline has no end points around this budget")
    if miou < alone:
        return BreakEven(None, never=True)
    if teacher_hours is None:
        return BreakEven(None, why="what the teacher's training took is not known")
    if teacher_hours == 0:
        return BreakEven(1)
    return _from_students(hours, miou, baseline, teacher_hours)


def _from_students(hours: float, miou: float, baseline: Scaling, teacher_hours: float) -> BreakEven:
    """The same of a method that is ahead before its teacher, whose hours are known, is charged."""
    overtakes = _overtakes(hours, miou, baseline)
    if overtakes is None:
        enough = _fewest(teacher_hours, baseline.hours[-1] - hours)
        if enough == 1:
            return BreakEven(1)
        why = f"the baseline has no budget above {baseline.hours[-1]:.3g} device-hours"
        return BreakEven(None, at_most=enough, why=why)
    students = _fewest(teacher_hours, overtakes - hours)
    return BreakEven(students, never=students is None)


def _overtakes(hours: float, miou: float, baseline: Scaling) -> float | None:
    """Up to how many device-hours, from these on, the baseline is never better; None when on all of its curve."""
    later = [at for at, budget in enumerate(baseline.hours) if budget > hours and baseline.mious[at] > miou]
    if not later:
        return None
    return max(hours, _crossing(baseline, later[0], miou))


def _fewest(teacher_hours: float, share: float) -> int | None:
    """The fewest students of whom each pays at most that share; None when a share of nothing has to do."""
    return max(1, math.ceil(teacher_hours / share - ROUNDING)) if share > 0 else None
