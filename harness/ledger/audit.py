"""Two accounts of the same time: what a run says of itself, and what was seen of it from outside."""

from harness.ledger.record import Outcome, Witness
from harness.ledger.rules import AGREEMENT_SECONDS, AGREEMENT_SHARE
from harness.ledger.spec import Ground


def disagreements(outcome: Outcome, witness: Witness | None, ground: Ground) -> tuple[str, ...]:
    """A line for each pair of accounts that do not tell the same; none for a run that left no account of itself."""
    times = outcome.times
    if times is None:
        return ()
    pairs: list[tuple[str, float, str, float | None]] = [
        ("the ledger of time adds up to", times.total, "the process lived", times.process),
        ("the ledger of time adds up to", times.total, "the sweep saw", witness.wall_seconds if witness else None),
    ]
    if outcome.cpu_seconds is not None and witness is not None:
        pairs.append(("the run used CPU time of", outcome.cpu_seconds, "the sweep saw", witness.cpu_seconds))
    on_the_clock = times.preparation + times.data_wait + times.training
    spent = outcome.spent_seconds - outcome.resumed_seconds
    if ground.device_class.kind == "cuda":
        pairs.append(("the clock says", spent, "the ledger has", on_the_clock))
    found = [_told(*pair) for pair in pairs if not _agree(pair[1], pair[3])]
    if ground.device_class.kind == "cpu" and witness is not None and spent > _most(witness.cpu_seconds):
        found.append(_told("the clock says", spent, "the process used CPU time of", witness.cpu_seconds))
    return tuple(found)


def _agree(one: float, other: float | None) -> bool:
    return other is None or abs(one - other) <= max(AGREEMENT_SECONDS, AGREEMENT_SHARE * max(one, other))


def _most(seconds: float) -> float:
    return seconds + max(AGREEMENT_SECONDS, AGREEMENT_SHARE * seconds)


def _told(mine: str, one: float, theirs: str, other: float | None) -> str:
    return f"{mine} {one:.2f} s, {theirs} {other or 0.0:.2f} s"
