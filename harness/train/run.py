"""One run: build, warm up, spend the budget, score the final weights."""

import math
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from harness.contract.guard import Guard
from harness.ledger.counts import save, scores_of
from harness.ledger.datasets import Split as SplitName
from harness.ledger.descriptor import must_be_as_planned
from harness.ledger.device import conditions, device_class
from harness.ledger.endings import Ending
from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.pictures import SHOWN, write_scene, write_student
from harness.ledger.readings import Readings
from harness.ledger.record import Outcome, Point, Times
from harness.ledger.results import (
    COUNTS,
    LOCKED,
    PREDICTIONS,
    SCENE,
    checkpoint_path,
    lock_path,
    record_path,
    scene_path,
    tracking_folder,
)
from harness.ledger.spec import RunSpec
from harness.ledger.status import PREEMPTED
from harness.segmentation.batches import Batches, first_batches_sha256
from harness.segmentation.data import Split
from harness.segmentation.evaluate import EVALUATION_BATCH, evaluate
from harness.segmentation.weights import keep_weights, state_sha256
from harness.train.checkpoint import Checkpoint, Facts
from harness.train.clock import budget_clock, cpu_seconds
from harness.train.endings import Diverged, ending_of, reason_of
from harness.train.heartbeat import Heartbeat
from harness.train.keeping import Keeping
from harness.train.loop import Rest, spend, spend_preparation, warm_up
from harness.train.memory import out_of_memory
from harness.train.meters import Meters, NoMeters, meters_of
from harness.train.pace import pace_of
from harness.train.pictures import Predictions, are_wanted, scene_of
from harness.train.splits import planned_split
from harness.train.stop import Interrupted
from harness.train.streams import batches_of, stream_seed
from harness.train.timesheet import process_seconds
from harness.train.tracking import NoTracker, Tracker, numbers_of, tracker_of
from harness.train.trainee import Trainee, make_trainee, prepare
from harness.train.waiting import waiting

LOCK_SECONDS = 2.0
"""Whoever only looks whether the lock is held, holds it for a moment."""

WARM_UP_ITERATIONS = 3


def main(spec_path: Path, out: Path, heartbeat: Heartbeat) -> int:
    """The run's outcome stands in OUT afterwards, whatever became of it."""
    spec = read(spec_path, RunSpec)
    results = out.parent.parent.parent  # OUT lies in RESULTS/work/KEY.ATTEMPT
    try:
        with FileLock(lock_path(results, spec.key), timeout=LOCK_SECONDS):
            if is_over(out) or record_path(results, spec.name).exists():
                print(f"bench: {spec.name} has ended already", flush=True)  # a queue may start a job twice
                return 0
            outcome = Run(spec, out, heartbeat, results).carry_out()
            heartbeat.answer(outcome)
    except Timeout:
        print(f"bench: {spec.key} is being run by another process", flush=True)
        return LOCKED
    return PREEMPTED if outcome.ending == "interrupted" else 0


def is_over(out: Path) -> bool:
    """Whether OUT holds the run's end: one that was interrupted and is started again goes on."""
    try:
        return read(out, Outcome).ending != "interrupted"
    except BadInput:
        return False


class Run:
    """A run's state, so that what was reached is told also when it fails."""

    def __init__(self, spec: RunSpec, out: Path, heartbeat: Heartbeat, results: Path) -> None:
        self.spec = spec
        self.out = out
        self.results = results
        self.heartbeat = heartbeat
        self.device = torch.device(spec.device)
        self.clock = budget_clock(self.device)
        self.pace = pace_of(spec, self.clock)
        self.guard = Guard(spec.method, counts=self.device.type == "cpu")
        self.meters: Meters = NoMeters()
        self.tracker: Tracker = NoTracker()
        self.keeping = Keeping(checkpoint_path(results, spec.key), spec.key, heartbeat)
        self.waited = self.waited_before = 0.0
        self.curve: list[Point] = []
        self.facts = Outcome(ending="done")

    def carry_out(self) -> Outcome:
        """The one place where a run's failure becomes an ending."""
        try:
            self.check_device()
            must_be_as_planned(self.spec.method)
            trainee = self.train()
            self.score(trainee)
        except Interrupted as stopped:
            return self.outcome("interrupted", str(stopped))
        except Exception as error:
            traceback.print_exc()
            ending = ending_of(error)
            return self.outcome(ending, self.shortage(error) if ending == "out_of_memory" else reason_of(error))
        return self.outcome("done", None)

    def shortage(self, error: Exception) -> str:
        """Off the clock: what was too large, and the batch that would fit. The attempt holds nothing any more."""
        self.heartbeat.stop.no_longer_mind()  # smaller batches are tried: for minutes, and each start anew
        return out_of_memory(error, self.spec.ground, self.spec.method, self.device, self.heartbeat)

    def check_device(self) -> None:
        """The device is of the class for which the run was planned."""
        workload = self.spec.ground.workload
        here = device_class(self.spec.device, workload.threads, workload.engine.precision)
        planned = self.spec.ground.device_class
        if here != planned:
            raise BadInput(
                f"planned for {planned.label} (torch {planned.torch}), but this is {here.label} (torch {here.torch})"
            )

    def train(self) -> Trainee:
        """Spends the budget."""
        spec, workload = self.spec, self.spec.ground.workload
        prepare(self.device, workload)
        self.meters = meters_of(self.device)
        self.tracker = tracker_of(spec.extras.track, tracking_folder(self.results, spec.name))
        self.heartbeat.enter("data")
        split = self.load("train")
        self.heartbeat.enter("building")
        trainee = make_trainee(spec.ground, spec.method, spec.seed, self.device)
        self.note(
            initial_student_sha256=state_sha256(trainee.student),
            first_batches_sha256=first_batches_sha256(self.batches(split)),
            student_parameters=sum(parameter.numel() for parameter in trainee.student.parameters()),
            weights=dict(zip(trainee.distiller.names, trainee.distiller.weights, strict=True)),
            left_out=trainee.distiller.left_out,
            conditions=conditions(spec.device),
        )
        self.heartbeat.enter("warm-up")
        with self.guard.armed():
            warm_up(trainee, self.batches(split), WARM_UP_ITERATIONS)
        torch.manual_seed(stream_seed(spec.seed, "dropout"))

        def again() -> tuple[Trainee, Batches]:
            anew = make_trainee(spec.ground, spec.method, spec.seed, self.device), self.batches(split)
            torch.manual_seed(stream_seed(spec.seed, "dropout"))
            return anew

        trainee, batches, found = self.keeping.resume(trainee, self.batches(split), again)
        if found is not None:
            self.go_on_from(found.facts)
        with self.guard.armed():
            self.spend(trainee, batches)
        return trainee

    def spend(self, trainee: Trainee, batches: Batches) -> None:
        """Preparation and training, the meters read beside."""
        spec, heartbeat, waited = self.spec, self.heartbeat, waiting(batches, self.device)
        heartbeat.budget_seconds, heartbeat.spent = spec.budget_seconds, lambda: self.clock.latest
        heartbeat.sample, heartbeat.iterations = self.meters.sample, lambda: self.pace.done

        def rest(work: Callable[[Trainee, Batches], None]) -> None:
            """Off the clock: what the method did until now is judged, and the run does work of its own."""
            with heartbeat.timesheet.on("logging"):
                self.waited = waited.read()
                if heartbeat.phase == "preparation":
                    self.waited_before = self.waited  # also of a run that goes no further
                with self.guard.resting():
                    work(trainee, batches)

        between = Rest(self.keeping.is_due, lambda: rest(self.keep))
        self.meters.start()
        heartbeat.stop.mind()  # until the end of a run that fails, so that its own words are the last
        try:
            heartbeat.enter("preparation", spec.preparation_iterations, lambda: self.pace.prepared)
            spend_preparation(trainee, waited, self.pace, self.clock, lambda: rest(self.keep), between)
            heartbeat.enter("training", self.pace.replanned or spec.iterations, lambda: self.pace.done)
            spend(trainee, waited, self.pace, self.clock, lambda: rest(self.look), between)
        finally:
            self.meters.stop()
        heartbeat.stop.no_longer_mind()

    def look(self, trainee: Trainee, batches: Batches) -> None:
        """Off the clock: a point of the learning curve, a look at the plan, and the end of a run that diverged."""
        self.point(trainee)
        self.pace.pause()
        self.heartbeat.total = self.pace.replanned or self.heartbeat.total
        self.keep(trainee, batches)

    def point(self, trainee: Trainee) -> None:
        """Adds to the learning curve what the losses were since its last point; Diverged when one is no number."""
        iterations = self.pace.done - (self.curve[-1].iteration if self.curve else 0)
        if iterations == 0:
            return
        losses = [value / iterations for value in trainee.losses.tolist()]
        trainee.losses.zero_()
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
        self.track(numbers_of(self.curve[-1], trainee.distiller.names))
        self.heartbeat.log(f"iteration {self.pace.done}, spent {self.clock.spent:.2f} s, losses {losses}")

    def track(self, numbers: Mapping[str, float]) -> None:
        """Off the clock: the tracker hears of them. One that fails is said and let go, and costs nobody the run."""
        try:
            self.tracker.tell(self.pace.done, numbers)
        except OSError as error:
            self.heartbeat.log(f"not tracked any more, for {reason_of(error)}")
            self.tracker = NoTracker()

    def keep(self, trainee: Trainee, batches: Batches) -> None:
        """Off the clock: a checkpoint, when it is time for one."""

        def take() -> Checkpoint:
            facts = Facts(
                key=self.spec.key,
                reached=self.pace.reached,
                spent_seconds=self.clock.spent,
                wall_seconds=self.clock.wall_seconds,
                lived_seconds=self.keeping.lived_seconds,
                curve=tuple(self.curve),
            )
            return Checkpoint(facts, trainee.snapshot(), batches.state())

        self.keeping.keep(take, self.pace.reached, is_over=self.pace.is_over)

    def go_on_from(self, facts: Facts) -> None:
        """What earlier attempts had done and spent by their checkpoint is done and spent."""
        self.pace.go_on_from(facts.reached)
        self.clock.carry(facts.spent_seconds, facts.wall_seconds)
        self.curve = list(facts.curve)
        self.note(resumed_iterations=facts.reached.done, resumed_seconds=facts.spent_seconds)

    def score(self, trainee: Trainee) -> None:
        """Keeps the final weights, and scores them and no others."""
        self.note(student_sha256=keep_weights(trainee.student, Path(self.spec.students)))
        self.heartbeat.enter("data")
        split = self.load(self.spec.scored_on)
        self.heartbeat.enter("evaluation", len(split.images))
        workload, told, predictions = self.spec.ground.workload, self.heartbeat.tell, Predictions()
        see = predictions.see
        counts = evaluate(trainee.student, split, workload, self.device, EVALUATION_BATCH, told, see)
        save(counts, self.out.with_name(COUNTS), durable=True)
        found = scores_of(counts)
        self.note(scores=found)
        self.track({"mIoU": found.miou})
        if are_wanted(self.spec):
            self.show(trainee, split, predictions)

    def show(self, trainee: Trainee, split: Split, predictions: Predictions) -> None:
        """Keeps pictures for the page. The run has its score, and whatever goes wrong here does not take it away.

        Beside OUT: the student's predictions, and the workload's own pictures where no run has kept them yet.
        """
        self.heartbeat.enter("pictures", SHOWN)
        ground, tell = self.spec.ground, self.heartbeat.tell
        try:
            write_student(self.out.with_name(PREDICTIONS), predictions.maps())
            if trainee.teacher is not None and not scene_path(self.results, ground.workload_digest).exists():
                scene = scene_of(trainee.teacher, split, ground.workload, self.device, tell)
                write_scene(self.out.with_name(SCENE), scene)
        except Exception as error:
            self.heartbeat.log(f"no pictures, for {reason_of(error)}")

    def load(self, split: SplitName) -> Split:
        """A split of the run's data set."""
        return planned_split(self.spec.ground, split, self.spec.scored_on)

    def batches(self, split: Split) -> Batches:
        """The seed's batches, from the first."""
        return batches_of(split, self.spec.ground.workload, self.spec.seed, self.device)

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
            # Not `spent`: after a failure the clock runs on, and reading a device that failed may fail too.
            spent_seconds=self.clock.latest,
            wall_seconds=self.clock.wall_seconds,
            times=times(self.heartbeat.timesheet.seconds, self.waited - self.waited_before),
            cpu_seconds=cpu_seconds(),
            readings=self.readings(),
            curve=tuple(self.curve),
            warnings=tuple(self.keeping.warnings),
        )
        return self.facts

    def readings(self) -> Readings:
        """The meters', whose energy is this process's alone."""
        found = self.meters.readings()
        if not self.facts.resumed_seconds or found.energy_joules is None:
            return found
        reason = {"energy_joules": "the run was resumed: what was drawn before is not known"}
        return found.model_copy(update={"energy_joules": None, "why_not": {**found.why_not, **reason}})


ENTRIES = {
    "starting": "start_up",
    "data": "loading",
    "building": "loading",
    "warm-up": "warm_up",
    "preparation": "preparation",
    "training": "training",
    "evaluation": "evaluation",
    "checkpoint": "checkpoint",
    "logging": "logging",
    "pictures": "logging",
}
"""Where a timesheet's entries stand in the ledger of time."""


def times(seconds: Mapping[str, float], data_wait: float) -> Times:
    """The ledger of time of a process that is about to end."""
    entries = dict.fromkeys((*ENTRIES.values(), "other"), 0.0)
    for entry, spent in seconds.items():
        entries[ENTRIES.get(entry, "other")] += spent
    entries["training"] -= data_wait
    return Times(**entries, data_wait=data_wait, process=process_seconds())
