"""A run's checkpoints: when one is written, what is said when it cannot be, and which one is gone on from."""

import time
from collections.abc import Callable
from pathlib import Path

from harness.ledger.errors import BadInput, without_path
from harness.ledger.results import checkpoint_files
from harness.segmentation.batches import Batches
from harness.train.checkpoint import Checkpoint, load, most_bytes, save
from harness.train.endings import reason_of
from harness.train.heartbeat import Heartbeat
from harness.train.pace import Reached
from harness.train.stop import Interrupted
from harness.train.trainee import Trainee

CHECKPOINT_SECONDS = 30.0
"""A run keeps no checkpoint before it has spent for so long, nor another so soon: what is lost is cheap to do again."""

LONGEST_SECONDS = 600.0
"""Nor does it go on for longer than this without one, wherever the next pause is."""

MISFIT = (RuntimeError, ValueError, LookupError, TypeError, AttributeError)
"""What putting back a state that is not this trainee's may raise."""


class Keeping:
    """Keeps a run's newest checkpoint and the one before. A run must not die because it could not be kept."""

    def __init__(self, path: Path, key: str, heartbeat: Heartbeat, began: float | None = None) -> None:
        self.path = path
        self.key = key
        self.heartbeat = heartbeat
        self.stop = heartbeat.stop
        self.warnings: list[str] = []
        """What went wrong and was mended, for the outcome."""
        self.standing: Reached | None = None
        """Where the newest checkpoint stands that this process has written or gone on from."""
        self._tried_at = time.monotonic()
        self._is_sound = False
        self._began = time.monotonic() if began is None else began
        self._lived_before = 0.0

    @property
    def lived_seconds(self) -> float:
        """The wall's since the work began, and those of the processes whose work it goes on with."""
        return self._lived_before + time.monotonic() - self._began

    def is_due(self) -> bool:
        """Whether the loop must stand still before its next pause."""
        return self.stop.asked is not None or time.monotonic() - self._tried_at > LONGEST_SECONDS

    def keep(self, take: Callable[[], Checkpoint], reached: Reached, *, is_over: bool) -> None:
        """Off the clock: a checkpoint, when the last one is old or none may follow; Interrupted where that was asked.

        Args:
            take: makes the checkpoint.
            reached: where the run stands.
            is_over: whether no iteration is left to do; what follows need not pay for them again.

        """
        asked = self.stop.asked
        old = time.monotonic() - self._tried_at >= CHECKPOINT_SECONDS
        last = asked is not None or (is_over and self.lived_seconds >= CHECKPOINT_SECONDS)
        if (old or last) and reached != self.standing:
            with self.heartbeat.timesheet.on("checkpoint"):
                self._write(take, reached)
        if asked is not None:
            raise Interrupted(f"{asked}: stopped {where(reached)}; {self._told()}")

    def _write(self, take: Callable[[], Checkpoint], reached: Reached) -> None:
        try:
            save(self.path, take(), keeps_old=self._is_sound)
        except Exception as error:  # a full disk, a device's full memory: the run can do without
            reason = error.strerror if isinstance(error, OSError) else reason_of(error)
            self.warn(f"a checkpoint could not be written: {reason}", f", {where(reached)}")
        else:
            self.standing, self._is_sound = reached, True
        self._tried_at = time.monotonic()

    def _told(self) -> str:
        if self.standing is None:
            return "nothing is kept of it"
        return f"its checkpoint stands {where(self.standing)}"

    def resume(
        self, trainee: Trainee, batches: Batches, again: Callable[[], tuple[Trainee, Batches]]
    ) -> tuple[Trainee, Batches, Checkpoint | None]:
        """Both as the newest checkpoint has them that can be read and fits, and that; as they were where there is none.

        Args:
            trainee: at its start.
            batches: from the first.
            again: makes both anew, as a checkpoint that does not fit may have filled a part of them.

        """
        self._tried_at = time.monotonic()  # spending begins: data and compiler may have taken minutes
        newest, before, _ = checkpoint_files(self.path)
        left = [path for path in (newest, before) if path.exists()]
        for path in left:
            try:
                found = load(path, self.key, most_bytes(trainee))
            except BadInput as error:
                self.warn(f"{path.name}: {without_path(path, error)}")
                continue
            try:
                trainee.restore(found.trainee)
                batches.go_on_from(found.batches)
            except MISFIT as error:
                self.warn(f"{path.name}: does not fit the run: {reason_of(error)}")
                trainee, batches = again()
                continue
            self.standing, self._is_sound = found.facts.reached, path == newest
            self._lived_before = found.facts.lived_seconds
            if path != left[0]:
                self.warn(f"the checkpoint before it is taken, which stands {where(self.standing)}")
            self.heartbeat.log(f"goes on {where(self.standing)}, {found.facts.spent_seconds:.2f} s spent")
            return trainee, batches, found
        if left:
            self.warn("begins anew: no checkpoint can be gone on from")
        return trainee, batches, None

    def warn(self, line: str, detail: str = "") -> None:
        """Said in the log each time, and once in the outcome."""
        self.heartbeat.log(f"warning: {line}{detail}")
        if line not in self.warnings:
            self.warnings.append(line)


def where(reached: Reached) -> str:
    """At which iteration, or update of the preparation."""
    if reached.done == 0 and reached.prepared:
        return f"after {reached.prepared} updates of the preparation"
    return f"at iteration {reached.done}"
