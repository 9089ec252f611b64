"""bench status."""

from pathlib import Path

from harness.cli import options

HEARD_SECONDS = 60.0
"""A job on another node whose status is younger is at work, also where the file system does not show its lock here."""


def status(results: options.Results = options.RESULTS) -> None:
    """Show what is running under a results folder, how far each run is, and how those that are over ended.

    Goes by files alone, so that it tells the same from another terminal, or another machine that sees the folder, and
    changes none: it leaves an empty KEY.lock in RESULTS/work where it looked whether somebody is at a run.
    """
    from collections import Counter

    from harness.cli.console import print_line, show_table
    from harness.ledger import results as layout

    rows = [status_cells(results, name) for name in layout.unfinished(results)]
    if rows:
        show_table("Under way", ("run", "phase", "iteration", "spent of budget", "left", "heard of"), rows)
    latest = layout.latest_attempts(results)
    endings = Counter(ending_of(results, key, attempt) for key, attempt in latest.items())
    counted = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
    print_line(f"{results}: {len(rows)} under way; {sum(endings.values())} ended" + (f": {counted}" if counted else ""))


def ending_of(results: Path, key: str, attempt: int) -> str:
    """How an attempt ended, or that its record does not say."""
    from harness.ledger import results as layout
    from harness.ledger.errors import BadInput

    try:
        return layout.read_record(results, key, attempt).outcome.ending
    except BadInput:
        return "unreadable"


def idle(results: Path, name: str, age: float | None) -> str | None:
    """What becomes of a run that no process is at, its status so many seconds old; None where one is, or will be."""
    from harness.ledger import claims
    from harness.ledger import results as layout
    from harness.ledger.errors import BadInput
    from harness.ledger.files import read
    from harness.ledger.ticket import Ticket, ending_path, ticket_path

    folder = layout.work_folder(results, name)
    out = folder / "out.json"
    if claims.is_locked(results, name.rpartition(".")[0]):
        return None
    if ending_path(out).exists():
        return "over; bench run records it"
    try:
        ticket = read(ticket_path(out), Ticket)
    except BadInput:
        if claims.owner_is_gone(folder):
            return "stopped; bench run picks it up"
        return "waits in its sweep" if age is None and not (folder / "log.txt").exists() else None
    is_heard = age is not None and age < HEARD_SECONDS
    return None if is_heard else f"in {ticket.queue} as {ticket.id}"


def status_cells(results: Path, name: str) -> tuple[str, ...]:
    """A run's row in `bench status`."""
    import time

    from harness.cli.console import duration
    from harness.ledger import results as layout
    from harness.sweep.working import latest_status

    state = latest_status(layout.work_folder(results, name) / "out.json")
    age = None if state is None else max(0.0, time.time() - state.heartbeat)
    if stands := idle(results, name, age):
        return (name, stands, "", "", "", "")
    if state is None:
        return (name, "starting", "", "", "", "")
    of_total = f"{state.done:,}" + (f" of {state.total:,}" if state.total else "") if state.done or state.total else ""
    spent = f"{state.spent_seconds:.1f} s" + (f" of {state.budget_seconds:.6g} s" if state.budget_seconds else "")
    left = state.seconds_left
    return (
        name,
        state.phase,
        of_total,
        spent if state.spent_seconds or state.budget_seconds else "",
        duration(left) if left is not None and state.phase in {"preparation", "training"} else "",
        f"{age:.0f} s ago",
    )
