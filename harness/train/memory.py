"""What a person can do when the memory was too little: what was held, what there is, which batch would fit."""

import gc
import itertools
import math
import re
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import psutil
import torch

from harness.contract.guard import Guard
from harness.ledger.method import ResolvedMethod
from harness.ledger.spec import Ground
from harness.train.heartbeat import Heartbeat
from harness.train.loop import warm_up
from harness.train.trainee import make_trainee

GIB = 2**30

HEADROOM = 0.1
"""Of the free memory, for what two single iterations do not show: batches fetched ahead, and memory in pieces."""

LEAST = 2
"""Images: what is normalised by a batch's own statistics cannot be one image at one position (PSPNet's pool of 1×1)."""

ITERATIONS = 2
"""Of a probe: in the first the optimizer's state does not exist yet."""

ASKED = re.compile(r"tried to allocate ([\d.]+) (\w+)", re.IGNORECASE)
"""torch's own words for what it wanted next, on either kind of device."""

OTHER_PHASES = frozenset({"starting", "data", "evaluation", "end"})
"""Of a run or a profile: what they hold does not depend on the training batch."""

ANOTHER = "in a copy of the workload (another batch is another workload, the same for all methods)"

Measure = Callable[[int], int | None]
"""From a batch to the most bytes that its iterations hold at once, or None where they are too many."""


class Memory(Protocol):
    """What is known of a device's memory, in bytes."""

    name: str
    total: int

    def held(self) -> int:
        """The most that this process held at once."""
        ...

    def free(self) -> int | None:
        """What this process could have if it held nothing; None where nothing tells."""
        ...


class CardMemory:
    """An accelerator's."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.name = f"cuda:{device.index or 0}"
        self.total = torch.cuda.mem_get_info(device)[1]

    def held(self) -> int:
        """By torch's own count."""
        return torch.cuda.max_memory_allocated(self._device)

    def free(self) -> int:
        """What the driver says, and what torch keeps for later."""
        return torch.cuda.mem_get_info(self._device)[0] + torch.cuda.memory_reserved(self._device)


class HostMemory:
    """A CPU's: the method's alone cannot be told from the process's."""

    name = "this machine"

    def __init__(self) -> None:
        self.total = psutil.virtual_memory().total

    def held(self) -> int:
        """The process's peak resident size, which macOS tells in bytes and Linux in KiB."""
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def free(self) -> None:
        """None: nothing would be the method's alone."""


def memory_of(device: torch.device) -> Memory:
    """The memory that a device computes in."""
    return CardMemory(device) if device.type == "cuda" else HostMemory()


@dataclass(frozen=True)
class Fit:
    """The largest batch that fits, as far as smaller ones tell."""

    batch: int | None
    """None: not even the smallest that was tried."""
    probes: tuple[int, ...]
    """The batches that were measured."""

    def __str__(self) -> str:
        if self.batch is None:
            return f"nor would batch {self.probes[0]} fit: the workload needs smaller crops or networks"
        how = "measured" if self.batch in self.probes else f"estimated from {' and '.join(map(str, self.probes))}"
        return f"batch {self.batch} would fit ({how}): write training.batch: {self.batch} {ANOTHER}"


def out_of_memory(
    error: Exception, ground: Ground, method: ResolvedMethod, device: torch.device, heartbeat: Heartbeat
) -> str:
    """One line about an attempt that needed too much, all of which is let go; nothing is raised, whatever happens now.

    Args:
        error: what the attempt ended with; its frames are emptied, as the tensors live in them.
        ground: of the run or the profile.
        method: its method.
        device: where it failed.
        heartbeat: knows what it was doing, and goes on with this.

    """
    phase, asked = heartbeat.phase, asked_for(str(error))
    heartbeat.enter("memory")
    heartbeat.iterations = int  # what counted them holds the networks
    let_go(error)
    try:
        measure = heard(measured_on(device, ground, method), heartbeat)
        return told(memory_of(device), ground, method, phase, asked, measure)
    except Exception:
        traceback.print_exc()
        return f"out of memory in phase {phase!r} at batch {ground.workload.training.batch}"
    finally:
        let_go()


def heard(measure: Measure, heartbeat: Heartbeat) -> Measure:
    """The same; each batch that is tried is a sign of life."""

    def measured(batch: int) -> int | None:
        heartbeat.tell(batch)
        return measure(batch)

    return measured


def told(
    memory: Memory, ground: Ground, method: ResolvedMethod, phase: str, asked: str | None, measure: Measure
) -> str:
    """What was held and what there is, on one line, and the batch that would fit where the batch was too large."""
    batch = ground.workload.training.batch
    held = f"{gib(memory.held())} held" + (f" and {asked} asked for" if asked else "")
    free = memory.free()
    there = f"{memory.name} has {gib(memory.total)}" + (f" ({gib(free)} free)" if free is not None else "")
    if phase in OTHER_PHASES:
        return f"out of memory in phase {phase!r}: {held}, {there}"
    line = f"out of memory: {held} at batch {batch}, {there}"
    if free is None:
        return f"{line}; a smaller batch needs less: write training.batch: N {ANOTHER}"
    try:
        fit = fitting(measure, batch, group_of(method), free)
    except Exception:  # The probe is a courtesy: what is known is told without it.
        traceback.print_exc()
        fit = None
    return line if fit is None else f"{line}; {fit}"


def fitting(measure: Measure, batch: int, group: int, free: int) -> Fit | None:
    """The largest multiple of the group below the batch that fits; None where no smaller one is left to try.

    A line through two small batches gives bytes = fixed + batch · bytes an image.
    """
    probes = probes_below(batch, group)
    peaks: list[int] = []
    for probe in probes:
        peak = measure(probe)
        if peak is None:
            break
        peaks.append(peak)
    if not probes:
        return None
    if not peaks:
        return Fit(None, probes[:1])
    measured = probes[: len(peaks)]
    estimate = estimated(measured, peaks, (1 - HEADROOM) * free, group, batch) if len(peaks) > 1 else 0
    return Fit(max(measured[-1], estimate), measured)


def probes_below(batch: int, group: int) -> tuple[int, ...]:
    """Up to two multiples of the group, below the batch that was too large."""
    first = group * math.ceil(LEAST / group)
    second = min(2 * first, group * ((batch - 1) // group))
    return tuple(sorted({probe for probe in (first, second) if first <= probe < batch}))


def estimated(probes: tuple[int, ...], peaks: list[int], room: float, group: int, batch: int) -> int:
    """Where the line through two batches' peaks reaches the room: the last multiple of the group before that."""
    per_image = (peaks[1] - peaks[0]) / (probes[1] - probes[0])
    if per_image <= 0:
        return 0
    fixed = peaks[0] - per_image * probes[0]
    largest = min((room - fixed) / per_image, batch - 1)
    return max(0, group * math.floor(largest / group))


def group_of(method: ResolvedMethod) -> int:
    """Images that belong together in the method's losses: a batch is a multiple of it."""
    return math.lcm(*(term.group or 1 for term in method.terms if term.is_active))


def measured_on(device: torch.device, ground: Ground, method: ResolvedMethod) -> Measure:
    """Measures single iterations on made-up images, on an accelerator that counts what it holds."""

    def measure(batch: int) -> int | None:
        let_go()
        torch.cuda.reset_peak_memory_stats(device)
        try:
            try_batch(ground, method, batch, device)
        except torch.OutOfMemoryError as error:
            let_go(error)
            return None
        return torch.cuda.max_memory_allocated(device)

    return measure


def try_batch(ground: Ground, method: ResolvedMethod, batch: int, device: torch.device) -> None:
    """Builds the networks anew and warms them up, as a run of this batch would begin."""
    workload = ground.workload
    training = workload.training.model_copy(update={"batch": batch})
    smaller = ground.model_copy(update={"workload": workload.model_copy(update={"training": training})})
    trainee = make_trainee(smaller, method, 0, device)
    size = (batch, *workload.augmentation.crop)
    images = torch.zeros(batch, 3, *workload.augmentation.crop, device=device)
    labels = torch.randint(len(workload.classes), size, device=device)
    with Guard(method, counts=device.type == "cpu").armed():
        warm_up(trainee, itertools.repeat((images, labels)), ITERATIONS)


def let_go(error: Exception | None = None) -> None:
    """What nobody holds any more is free, and so is what the frames of a failed attempt held."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__ if isinstance(error.__context__, Exception) else None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def asked_for(text: str) -> str | None:
    """How much more was wanted when it was too much, where torch says so."""
    found = ASKED.search(text)
    if found is None:
        return None
    return gib(float(found[1])) if found[2] == "bytes" else f"{found[1]} {found[2]}"


def gib(count: float) -> str:
    """Bytes as a person reads them."""
    return f"{count / GIB:.1f} GiB"
