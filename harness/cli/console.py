"""The terminal: progress on stderr, results on stdout. Whoever wrote what is shown there, it moves no cursor."""

import sys
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.ledger.status import Status
from harness.sweep.watch import Activity, Progress

PLAIN_SECONDS = 15.0
"""How often a line tells the state where stderr is no terminal."""


class Terminal:
    """A Watcher: a live view on a terminal, a line now and then in a log. For a `with`."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._told = 0.0
        self._title = self._line = ""

    def __enter__(self) -> "Terminal":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(Text(plain(line)), soft_wrap=True)

    def show(self, activity: Activity) -> None:
        """Redraws the live view, or adds a line when the title changes and every so often."""
        if self._console.is_terminal:
            self._live.update(_view(activity))
            return
        now, line = self._console.get_time(), _line(activity)
        if line != self._line and (activity.title != self._title or now - self._told > PLAIN_SECONDS):
            self._title, self._told, self._line = activity.title, now, line
            self.say(line)


def plain(text: str) -> str:
    """The text on one line, without what would move a cursor, change colours or turn the order of letters.

    A file's name or a record's words may be a stranger's.
    """
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _line(activity: Activity) -> str:
    named = "{0.name}: {1}" if activity.total > 1 else "{1}"
    running = "; ".join(named.format(progress, _state(progress.status)) for progress in activity.running)
    return f"{_headline(activity)}" + (f" — {running}" if running else "")


def _headline(activity: Activity) -> str:
    counted = f" {activity.done}/{activity.total}" if activity.total > 1 else ""
    left = activity.seconds_left
    reasons = ", ".join(sorted({reason for reason in activity.queued if reason}))
    waiting = f", {len(activity.queued)} in the queue{f': {reasons}' if reasons else ''}" if activity.queued else ""
    return f"{activity.title}{counted}{waiting}" + (
        f", about {duration(left)} left" if left is not None and left >= 1 else ""
    )


def _state(status: Status | None) -> str:
    if status is None:
        return "starting"
    if status.fraction is not None:
        return f"{status.phase} {100 * status.fraction:.0f} %"
    return status.phase


def _view(activity: Activity) -> Group:
    table = Table.grid(padding=(0, 1))
    for progress in activity.running:
        table.add_row(Text(plain(progress.name)), _bar(progress), Text(plain(_state(progress.status)), style="dim"))
    return Group(Text(plain(_headline(activity)), style="bold"), table)


def _bar(progress: Progress) -> ProgressBar:
    fraction = progress.status.fraction if progress.status else None
    return ProgressBar(total=1.0, completed=fraction or 0.0, width=30, pulse=fraction is None)


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; its first column to the left, numbers to the right; cut by nothing where stdout is a file."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    table = Table(title=Text(plain(title)), title_justify="left", header_style="bold")
    for index, name in enumerate(columns):
        numeric = index > 0 and all(_is_number(row[index]) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    console.print(table)


def _is_number(cell: str) -> bool:
    return not cell or cell[0].isdigit() or cell[0] in "–−-+~"


def print_line(text: str) -> None:
    """A line on stdout, cut by nothing."""
    Console(highlight=False, soft_wrap=True).print(Text(plain(text)))


def ask(question: str) -> bool:
    """Yes or no from a person at a terminal."""
    answer = Console(stderr=True).input(Text(f"{plain(question)} [y/N] "))
    return answer.strip().lower() in {"y", "yes"}
