"""What the page says of a group of boards: its figures, its scores over several budgets, a section a method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.ledger.about import About
from harness.ledger.method import BASELINE
from harness.report.picture import Picture
from harness.report.style import Style
from harness.score.groups import Flip, Group, board_hours
from harness.score.leaderboard import Board, Row
from harness.score.runs import Amounts, Run
from harness.score.scaling import STUDENTS, BreakEven, Reached, Scaling, area, break_even, charged, time_to


class Link(NamedTuple):
    """Words, and where they lead; nowhere when there is no address."""

    text: str
    url: str | None


class Weight(NamedTuple):
    """A term's weight as it was used."""

    term: str
    weight: float
    source: str


class Failure(NamedTuple):
    """A run that did not end as done."""

    run: str
    ending: str
    reason: str
    log_tail: str


@dataclass(frozen=True)
class Scaled:
    """A method's scores over several budgets, end points only."""

    method: str
    digest: str
    reached: Reached | None
    """When it has the baseline's final mIoU."""
    area: float | None
    """Mean mIoU over the logarithm of device-hours, at the budgets that all have."""
    break_even: tuple[tuple[str, BreakEven], ...]
    """At each budget but the largest, students from which it pays with the teacher charged; nothing of the baseline."""
    charged: tuple[float, ...]
    """Device-hours of a student of the largest budget with the teacher among 1, 10 and all that it taught."""


@dataclass(frozen=True)
class MethodSection:
    """Everything that is known of a method in a group."""

    name: str
    digest: str
    title: str
    family: str
    style: Style
    rows: tuple[tuple[Board, Row], ...]
    descriptor: str | None
    """As it ships with this version; None of a method that does not ship, or that a group above has shown."""
    described_in: str | None
    """The place on the page of the section that describes it, where a group above has shown it."""
    paper: Link | None
    reference: Link | None
    notes: str
    weights: tuple[Weight, ...]
    phases: Amounts
    phases_of: float | None
    ledger: Amounts
    """Wall seconds, means over the finished runs of the largest budget."""
    failures: tuple[Failure, ...]
    provenance: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class View:
    """A group as the page shows it."""

    group: Group
    pictures: tuple[Picture, ...]
    flips: tuple[Flip, ...]
    scaled: tuple[Scaled, ...]
    teacher_hours: float | None
    students: int
    """That the teacher taught here: finished runs of methods that have one."""
    methods: tuple[MethodSection, ...]


def scaled_of(group: Group) -> tuple[Scaled, ...]:
    """The scores of each current method above the line; nothing with fewer than two budgets."""
    curves = _curves(group)
    alone = next((curve for (method, _), curve in curves.items() if method == BASELINE), None)
    if alone is None or len(alone.hours) < 2:
        return ()
    found = [_scaled(key, curve, alone, group) for key, curve in curves.items()]
    return tuple(sorted(found, key=lambda each: -(each.area or 0.0)))


def _curves(group: Group) -> dict[tuple[str, str], Scaling]:
    """End points of each method: on the boards by time where it stands above the line."""
    points: dict[tuple[str, str], dict[float, float]] = {}
    for board in group.boards:
        hours = board_hours(board)
        for row in board.ranked:
            if row.miou and hours:
                points.setdefault((row.method, row.digest), {})[hours] = row.miou.mean
    return {key: Scaling.of(found.items()) for key, found in points.items()}


def _scaled(key: tuple[str, str], curve: Scaling, alone: Scaling, group: Group) -> Scaled:
    method, digest = key
    teacher, is_taught = teacher_hours(group), method != BASELINE
    return Scaled(
        method=method,
        digest=digest,
        reached=time_to(curve, alone),
        area=area(curve, alone.hours),
        break_even=_break_even(curve, alone, teacher, group) if is_taught else (),
        charged=_charged(curve.hours[-1], teacher, students(group)) if is_taught and teacher is not None else (),
    )


def _break_even(
    curve: Scaling, alone: Scaling, teacher: float | None, group: Group
) -> tuple[tuple[str, BreakEven], ...]:
    """Beyond its largest budget nobody knows what the baseline would have got, so that there it cannot be told."""
    names = {board_hours(board): board.budget for board in group.boards}
    points = [point for point in zip(curve.hours, curve.mious, strict=True) if point[0] < alone.hours[-1]]
    return tuple((names[hours], break_even(hours, miou, alone, teacher)) for hours, miou in points)


def _charged(hours: float, teacher: float, taught: int) -> tuple[float, ...]:
    return tuple(charged(hours, teacher, count) for count in (*STUDENTS, max(1, taught)))


def teacher_hours(group: Group) -> float | None:
    """Device-hours of the teacher's own training, where a record tells."""
    return next((run.teacher_hours for run in _runs(group) if run.teacher_hours is not None), None)


def students(group: Group) -> int:
    """Finished runs that had the teacher."""
    return sum(run.method != BASELINE and run.ending == "done" for run in _runs(group))


def _runs(group: Group) -> list[Run]:
    return [run for board in group.boards for row in board.rows for run in row.runs]


def sections(
    group: Group, known: Mapping[str, About], styles: Mapping[str, Style], shown: Mapping[str, str]
) -> tuple[MethodSection, ...]:
    """A section a method, in the order of the largest board; not described again where `shown` has its place."""
    order = {(row.method, row.digest): None for board in (group.largest, *group.boards) for row in board.rows}
    return tuple(
        _section(group.rows(method, digest), known.get(method), styles[method], shown.get(method))
        for method, digest in order
    )


def _section(
    rows: tuple[tuple[Board, Row], ...], about: About | None, style: Style, described_in: str | None
) -> MethodSection:
    row = rows[-1][1]
    known = about if described_in is None else None
    last = row.scored[-1] if row.scored else row.runs[-1]
    return MethodSection(
        name=row.method,
        digest=row.digest,
        title=row.title,
        family=row.family,
        style=style,
        rows=rows,
        descriptor=known.text if known else None,
        described_in=described_in if about else None,
        paper=_paper(known),
        reference=_reference(known),
        notes=known.notes if known else "",
        weights=_weights(last),
        phases=last.phases,
        phases_of=last.phases_of,
        ledger=_ledger(row.scored),
        failures=tuple(
            Failure(run.name, run.ending, run.reason, run.log_tail)
            for _, each in rows
            for run in each.runs
            if run.ending != "done"
        ),
        provenance=_provenance(last, [each for _, row in rows for each in row.runs]),
    )


def _paper(known: About | None) -> Link | None:
    if known is None or not (known.paper.title or known.paper.arxiv):
        return None
    paper = known.paper
    text = ", ".join(part for part in (paper.title, paper.venue, f"arXiv {paper.arxiv}" if paper.arxiv else "") if part)
    return Link(text, f"https://arxiv.org/abs/{paper.arxiv}" if paper.arxiv else None)


def _reference(known: About | None) -> Link | None:
    if known is None or known.reference is None:
        return None
    reference = known.reference
    url = f"https://github.com/{reference.repo}/tree/{reference.commit}" if reference.repo.count("/") == 1 else None
    return Link(f"{reference.repo} {reference.commit}", url)


def _weights(run: Run) -> tuple[Weight, ...]:
    """As the run used them where it says so, else as the descriptor has them for the data set."""
    used = dict(run.weights)
    parts = [
        (f"{term.name}: {part.name}" if term.parts else term.name, part) for term in run.terms for part in term.weights
    ]
    return tuple(Weight(name, used.get(name, part.weight), part.source) for name, part in parts)


def _ledger(runs: Sequence[Run]) -> Amounts:
    """Means over the runs that left an account, entries without any time left out."""
    accounts = [dict(run.times) for run in runs if run.times]
    if not accounts:
        return ()
    means = ((entry, float(np.mean([account.get(entry, 0.0) for account in accounts]))) for entry in accounts[0])
    return tuple((entry, mean) for entry, mean in means if mean > 0)


def _provenance(last: Run, runs: Sequence[Run]) -> tuple[tuple[str, str], ...]:
    facts = (
        ("method digest", last.method_digest),
        ("workload digest", last.workload_digest),
        ("data SHA-256", last.data_sha256),
        ("teacher SHA-256", last.teacher_sha256),
        ("student SHA-256", last.student_sha256 or ""),
        ("hosts", ", ".join(sorted({run.host for run in runs if run.host}))),
        ("software", last.software),
        ("last run", f"{last.name}, ended {last.ended}"),
    )
    return tuple((name, value) for name, value in facts if value)
