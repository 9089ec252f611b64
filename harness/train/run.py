"""One run: build, warm up, spend the budget, score the final weights."""

import math
import traceback
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from harness.ledger.descriptor import must_be_as_planned
from harness.ledger.device import conditions, device_class
from harness.ledger.endings import Ending
from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from harness.ledger.record import Outcome, Point, Times
from harness.ledger.results import COUNTS, LOCKED, lock_path
from harness.ledger.spec import RunSpec
from harness.ledger.workload import Split as SplitName
from harness.segmentation.batches import Batches, first_batches_sha256
from harness.segmentation.data import Split, load
from harness.segmentation.evaluate import EVALUATION_BATCH, evaluate, save, scores
from harness.segmentation.weights import keep_weights, state_sha256
from harness.train.clock import budget_clock
from harness.train.endings import Diverged, ending_of, reason_of
from harness.train.heartbeat import Heartbeat
from harness.train.loop import spend, warm_up
from harness.train.pace import pace_of
from harness.train.streams import generator, stream_seed
from harness.train.trainee import Trainee, make_trainee, prepare

LOCK_SECONDS = 2.0
"""Whoever only looks whether the lock is held, holds it for a moment."""

WARM_UP_ITERATIONS = 3


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """The run's outcome stands in OUT afterwards, whatever became of it."""
    spec = read(spec_path, RunSpec)
    results = out.parent.parent.parent  # OUT lies in RESULTS/work/KEY.ATTEMPT
    try:
        with FileLock(lock_path(results, spec.key), timeout=LOCK_SECONDS):
            write(out, Run(spec, out, heartbeat).carry_out())
    except Timeout:
        print(f"bench: {spec.key} is being run by another process", flush=True)
        return LOCKED
    return 0


class Run:
    """A run's state, so that what was reached is told also when it fails."""

    def __init__(self, spec: RunSpec, out: Path, heartbeat: Heartbeat) -> None:
        self.spec = spec
        self.out = out
        self.heartbeat = heartbeat
        self.device = torch.device(spec.device)
        self.clock = budget_clock(self.device)
        self.pace = pace_of(spec, self.clock)
        self.curve: list[Point] = []
        self.facts = Outcome(ending="done")
        self._read_at = 0

    def carry_out(self) -> Outcome:
        """The one place where a run's failure becomes an ending."""
        try:
            self.check_device()
            must_be_as_planned(self.spec.method)
            trainee = self.train()
            self.score(trainee)
        except Exception as error:
            traceback.print_exc()
            return self.outcome(ending_of(error), reason_of(error))
        return self.outcome("done", None)

    def check_device(self) -> None:
        """The device is of the class for which the run was planned."""
        here = device_class(self.spec.device, self.spec.ground.workload.threads)
        planned = self.spec.ground.device_class
        if here != planned:
            raise BadInput(
                f"planned for {planned.label} (torch {planned.torch}), but this is {here.label} (torch {here.torch})"
            )

    def train(self) -> Trainee:
        """Spends the budget."""
        spec, workload = self.spec, self.spec.ground.workload
        prepare(self.device, workload.threads)
        self.heartbeat.enter("data")
        split = self.load("train")
        self.heartbeat.enter("building")
        trainee = make_trainee(spec.ground, spec.method, spec.seed, self.device)
        order, augment = self.batch_generators()
        self.note(
            initial_student_sha256=state_sha256(trainee.student),
            first_batches_sha256=first_batches_sha256(split, workload, order=order, augment=augment),
            student_parameters=sum(parameter.numel() for parameter in trainee.student.parameters()),
            weights=dict(zip(trainee.distiller.names, trainee.distiller.weights, strict=True)),
            left_out=trainee.distiller.left_out,
            conditions=conditions(spec.device),
        )
        self.heartbeat.enter("warm-up")
        warm_up(trainee, self.batches(split), WARM_UP_ITERATIONS)
        torch.manual_seed(stream_seed(spec.seed, "dropout"))
        batches = self.batches(split)
        self.heartbeat.enter("training", spec.iterations, lambda: self.pace.done)
        self.heartbeat.budget_seconds, self.heartbeat.spent = spec.budget_seconds, lambda: self.clock.latest
        spend(trainee, batches, self.pace, self.clock, lambda: self.look(trainee))
        return trainee

    def look(self, trainee: Trainee) -> None:
        """Off the clock: a point of the learning curve, a look at the plan, and the end of a run that diverged."""
        iterations = self.pace.done - self._read_at
        if iterations == 0:
            return
        losses = [value / iterations for value in trainee.losses.tolist()]
        trainee.losses.zero_()
        self._read_at = self.pace.done
        if not all(math.isfinite(loss) for loss in losses):
            named = zip(("task", *trainee.distiller.names), losses, strict=True)
            lost = ", ".join(name for name, loss in named if not math.isfinite(loss))
            raise Diverged(f"the loss ({lost}) was no number any more by iteration {self.pace.done}")
        self.curve.append(
            Point(
                iteration=self.pace.done,
                spent_seconds=self.clock.spent,
                task_loss=losses[0],
                term_losses=tuple(losses[1:]),
                learning_rate=trainee.learning_rate(min(1.0, self.pace.progress())),
            )
        )
        self.heartbeat.log(f"iteration {self.pace.done}, spent {self.clock.spent:.2f} s, losses {losses}")
        self.pace.pause()
        self.heartbeat.total = self.pace.replanned or self.heartbeat.total

    def score(self, trainee: Trainee) -> None:
        """Keeps the final weights, and scores them and no others."""
        self.heartbeat.enter("evaluation")
        self.note(student_sha256=keep_weights(trainee.student, Path(self.spec.students)))
        split = self.load(self.spec.scored_on)
        counts = evaluate(trainee.student, split, self.spec.ground.workload, self.device, EVALUATION_BATCH)
        save(counts, self.out.with_name(COUNTS))
        self.note(scores=scores(counts))

    def load(self, split: SplitName) -> Split:
        """A split of the run's data set, in memory."""
        data = self.spec.ground.data
        return load(self.spec.ground.workload, Path(data) if data else None, split)

    def batches(self, split: Split) -> Batches:
        """The seed's batches, from the first."""
        order, augment = self.batch_generators()
        return Batches(split, self.spec.ground.workload, order=order, augment=augment, device=self.device)

    def batch_generators(self) -> tuple[torch.Generator, torch.Generator]:
        """The seed's streams of order and augmentation, from their beginnings."""
        return generator(self.spec.seed, "order"), generator(self.spec.seed, "augmentation")

    def note(self, **facts: object) -> None:
        """Adds what is known now to what will be told."""
        self.facts = self.facts.model_copy(update=facts)

    def outcome(self, ending: Ending, reason: str | None) -> Outcome:
        """Everything that is known of the run."""
        self.heartbeat.enter("end")
        self.note(
            ending=ending,
            reason=reason,
            iterations=self.pace.done,
            preparation_iterations=self.pace.prepared,
            replanned_iterations=self.pace.replanned,
            spent_seconds=self.clock.spent,
            wall_seconds=self.clock.wall_seconds,
            times=times(self.heartbeat.durations, self.clock.wall_seconds),
            curve=tuple(self.curve),
        )
        return self.facts


def times(durations: dict[str, float], training: float) -> Times:
    """The process's wall time by phase; what the training phase spent off the clock is `other`."""
    named = {"starting": "start_up", "data": "data", "warm-up": "warm_up", "evaluation": "evaluation"}
    known = {field: durations.get(phase, 0.0) for phase, field in named.items()}
    return Times(**known, training=training, other=max(0.0, sum(durations.values()) - sum(known.values()) - training))
