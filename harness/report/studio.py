"""Where figures are drawn and counts are read: beside the process that makes the page, or within it."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from harness.report.facts import Facts
from harness.report.picture import Picture
from harness.report.style import Style

P = ParamSpec("P")
T = TypeVar("T")


class Studio:
    """Does work in other processes when it is given some, which load matplotlib while this one reads records.

    They are started afresh, not forked: this process may have threads. Whoever uses more than one from a script
    needs the guard that multiprocessing asks for; `bench report` has it.
    """

    def __init__(self, processes: int) -> None:
        spawn = get_context("spawn")
        self.pool = ProcessPoolExecutor(processes, mp_context=spawn) if processes > 1 else None
        for _ in range(processes if self.pool else 0):
            self.do(warm_up)

    def do(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """The work's result, when it is asked for."""
        if self.pool is not None:
            return self.pool.submit(work, *args, **kwargs)
        done: Future[T] = Future()
        done.set_result(work(*args, **kwargs))
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.pool is not None:
            self.pool.shutdown(wait=False, cancel_futures=True)


def warm_up() -> None:
    """Matplotlib and numpy are loaded afterwards."""
    import harness.report.figures.drawing  # noqa: F401  # the point of it: the page's own process never needs it


def picture(facts: Facts, styles: Mapping[str, Style], name: str) -> Picture:
    """The figure that shows these facts."""
    from harness.report.figures.drawing import draw  # see warm_up

    return draw(facts, styles, name)
