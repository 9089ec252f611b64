"""Where figures are drawn and counts are read: beside the process that makes the page, or within it."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import forkserver, get_context
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

if TYPE_CHECKING:  # what this module imports is waited for before anything else is begun
    from harness.report.facts import Facts
    from harness.report.picture import Picture
    from harness.report.style import Styles

P = ParamSpec("P")
T = TypeVar("T")

DRAWING = "harness.report.figures.drawing"
"""What brings matplotlib, and all that drawing needs."""


class Studio:
    """Does work in other processes when it is given some, which load matplotlib while this one reads records.

    They are forks of a server that loads it once. Whoever uses more than one from a script needs the guard that
    multiprocessing asks for; `bench report` has it.
    """

    def __init__(self, processes: int) -> None:
        # What multiprocessing starts is a `python -c`, which else looks for modules in the current folder first.
        os.environ["PYTHONSAFEPATH"] = "1"
        context = get_context("forkserver")
        self.pool = ProcessPoolExecutor(processes, mp_context=context) if processes > 1 else None
        if self.pool is not None:
            context.set_forkserver_preload([DRAWING])
            forkserver.ensure_running()  # begins to load now, and nobody waits for it

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


def picture(facts: "Facts", styles: "Styles", name: str) -> "Picture":
    """The figure that shows these facts."""
    from harness.report.figures.drawing import draw  # matplotlib, which the page's own process never needs

    return draw(facts, styles, name)
