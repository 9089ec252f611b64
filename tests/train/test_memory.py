"""What a run says that has too little memory, on a device whose memory a test counts out."""

import re
import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.ledger.method import ResolvedMethod
from harness.ledger.record import Outcome
from harness.ledger.spec import Ground, ProfileSpec
from harness.train import memory, profile
from harness.train.endings import OutOfMemory, ending_of, reason_of
from harness.train.heartbeat import Heartbeat
from harness.train.memory import GIB, Fit, HostMemory, asked_for, fitting, group_of, let_go, out_of_memory, told
from harness.train.run import Run
from harness.train.trainee import Trainee
from tests.factories import ground, method, spec, workload
from tests.train.tiny import resolved, standing

CPU = torch.device("cpu")
COPY = "in a copy of the workload (another batch is another workload, the same for all methods)"
CARD_SAYS = "CUDA out of memory. Tried to allocate 4.20 GiB. GPU 0 has a total capacity of 139.80 GiB."
CPU_SAYS = (
    "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate {} bytes."
)


class Card:
    """139.8 GiB, of which another process has 1; what a batch needs is 10 GiB and 10 more an image."""

    name = "cuda:0"
    total = int(139.8 * GIB)

    def __init__(self, free: int = int(138.8 * GIB)) -> None:
        self._free = free
        self.tried: list[int] = []

    def held(self) -> int:
        return int(137.9 * GIB)

    def free(self) -> int:
        return self._free

    def measure(self, batch: int) -> int | None:
        self.tried.append(batch)
        needed = (10 + 10 * batch) * GIB
        return needed if needed <= self._free else None


def of_batch(batch: int) -> Ground:
    """A ground whose workload trains by batches of this size."""
    held = workload()
    return ground(of=held.model_copy(update={"training": held.training.model_copy(update={"batch": batch})}))


def grouped(*groups: int | None) -> ResolvedMethod:
    """A method with a term for each of these groups."""
    (term,) = method().terms
    return method().model_copy(update={"terms": tuple(term.model_copy(update={"group": group}) for group in groups)})


def test_what_was_held_what_there_is_and_what_would_fit_stand_on_one_line():
    """10 + 10·batch ≤ 0.9 · 138.8 = 124.9: batch 11, as 30 GiB at 2 and 50 at 4 say."""
    card = Card()
    line = told(card, of_batch(16), method(), "training", "4.20 GiB", card.measure)
    assert line == (
        "out of memory: 137.9 GiB held and 4.20 GiB asked for at batch 16, cuda:0 has 139.8 GiB (138.8 GiB free); "
        f"batch 11 would fit (estimated from 2 and 4): write training.batch: 11 {COPY}"
    )
    assert card.tried == [2, 4]


@pytest.mark.parametrize(
    ("batch", "group", "free", "expected"),
    [
        (16, 1, 139, Fit(11, (2, 4))),  # 0.9·139 = 125.1
        (16, 4, 139, Fit(8, (4, 8))),  # 11 is no multiple of 4
        (12, 3, 139, Fit(9, (3, 6))),
        (8, 1, 1000, Fit(7, (2, 4))),  # it failed at 8, whatever the line says
        (4, 1, 139, Fit(3, (2, 3))),
        (3, 1, 139, Fit(2, (2,))),
        (2, 1, 139, None),  # one image is no batch to normalise by
        (4, 4, 139, None),  # no smaller group
        (8, 1, 40, Fit(2, (2,))),  # 30 at 2; 4 images fail in their turn
        (8, 1, 51, Fit(4, (2, 4))),  # the line says 3, and 4 was seen to fit
        (8, 1, 20, Fit(None, (2,))),
        (8, 4, 20, Fit(None, (4,))),
    ],
)
def test_the_batch_that_fits_by_hand(batch: int, group: int, free: int, expected: Fit | None):
    """10 GiB and 10 more an image, a tenth of the free memory left alone."""
    assert fitting(Card(free * GIB).measure, batch, group, free * GIB) == expected


def test_a_line_that_does_not_rise_gives_no_estimate():
    """What two batches hold alike is no reason to believe in a third."""
    assert fitting(lambda _: 10 * GIB, 16, 1, 100 * GIB) == Fit(4, (2, 4))


def test_where_nothing_fits_the_batch_is_not_blamed():
    """Smaller crops or networks are what is left."""
    card = Card(free=20 * GIB)
    line = told(card, of_batch(8), method(), "warm-up", None, card.measure)
    assert line.endswith("; nor would batch 2 fit: the workload needs smaller crops or networks")


def test_a_batch_is_a_multiple_of_what_the_terms_couple():
    """Pairs and triples: six; terms without a group ask for nothing."""
    assert group_of(grouped(2, 3, None)) == 6
    assert group_of(method("baseline")) == 1


def test_a_probe_that_fails_in_its_turn_costs_only_the_advice():
    """What is known is told."""

    def broken(_: int) -> int:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    assert told(Card(), of_batch(16), method(), "training", None, broken) == (
        "out of memory: 137.9 GiB held at batch 16, cuda:0 has 139.8 GiB (138.8 GiB free)"
    )


def test_a_cards_meters_are_torchs_own(monkeypatch: pytest.MonkeyPatch):
    """Free is what the driver has left and what torch keeps for later; held is the peak of what was in use."""
    device = torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (30 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 5 * GIB)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 77 * GIB)
    card = memory.memory_of(device)
    assert (card.name, card.total, card.free(), card.held()) == ("cuda:1", 80 * GIB, 35 * GIB, 77 * GIB)


def test_a_probe_is_measured_from_nothing_and_one_that_fails_is_no_number(monkeypatch: pytest.MonkeyPatch):
    """The peak is reset before each; what a failed probe built is let go."""
    events: list[str] = []
    built: list[weakref.ref[Tensor]] = []

    def try_batch(_: object, __: object, batch: int, ___: object) -> None:
        tensor = torch.zeros(batch)
        built.append(weakref.ref(tensor))
        events.append(f"batch {batch}")
        if batch == 4:
            raise torch.OutOfMemoryError(CARD_SAYS)

    monkeypatch.setattr(memory, "try_batch", try_batch)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: events.append("reset"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 3 * GIB)
    measure = memory.measured_on(torch.device("cuda:0"), of_batch(16), method())
    assert [measure(2), measure(4)] == [3 * GIB, None]
    assert events == ["reset", "batch 2", "reset", "batch 4"]
    assert [each() for each in built] == [None, None]


def test_what_is_no_matter_of_the_training_batch_blames_none():
    """Images are scored by batches of their own."""
    card = Card()
    assert told(card, of_batch(16), method(), "evaluation", None, card.measure) == (
        "out of memory in phase 'evaluation': 137.9 GiB held, cuda:0 has 139.8 GiB (138.8 GiB free)"
    )
    assert card.tried == []


def test_a_cpu_tells_what_the_process_held_and_names_no_batch():
    """Nothing of it is the method's alone, so that nothing is tried."""
    here = HostMemory()
    here.total, here.held = 16 * GIB, lambda: 3 * GIB  # type: ignore[method-assign]
    line = told(here, of_batch(16), method(), "training", "3725.3 GiB", lambda _: pytest.fail("nothing is measured"))
    assert line == (
        "out of memory: 3.0 GiB held and 3725.3 GiB asked for at batch 16, this machine has 16.0 GiB; "
        f"a smaller batch needs less: write training.batch: N {COPY}"
    )


def test_the_meters_of_this_machine_are_of_its_order():
    """More than this process's torch, less than the machine's all."""
    assert 50 * 2**20 < HostMemory().held() < HostMemory().total


@pytest.mark.parametrize(
    ("text", "expected"),
    [(CARD_SAYS, "4.20 GiB"), (CPU_SAYS.format(4_000_000_000_000), "3725.3 GiB"), ("std::bad_alloc", None)],
)
def test_what_was_asked_for_is_read_from_what_torch_says(text: str, expected: str | None):
    """Its own words on either device; nothing where it says nothing."""
    assert asked_for(text) == expected


def test_torch_says_it_in_these_words_still():
    """A tensor of a petabyte."""
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**50, dtype=torch.uint8)
    assert ending_of(error.value) == "out_of_memory"
    assert asked_for(str(error.value)) == "1048576.0 GiB"


def test_a_failed_attempt_holds_nothing_when_its_frames_are_emptied():
    """The tensor was a local of the function that failed, also behind a second exception."""
    held: list[weakref.ref[Tensor]] = []

    def attempt() -> None:
        tensor = torch.zeros(3)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("too much")

    def twice() -> None:
        try:
            attempt()
        except torch.OutOfMemoryError:
            attempt()

    try:
        twice()
    except torch.OutOfMemoryError as error:
        assert all(each() is not None for each in held)
        let_go(error)
    assert [each() for each in held] == [None, None]


@pytest.fixture
def tiny_ground(tmp_path: Path) -> Ground:
    """A few drawn scenes."""
    held = workload()
    data = held.data.model_copy(update={"train": held.data.train.model_copy(update={"count": 8})})
    classes = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
    return standing(tmp_path, held.model_copy(update={"data": data, "classes": classes}))


@pytest.fixture
def too_little(monkeypatch: pytest.MonkeyPatch) -> Card:
    """A card in place of this machine's memory, and a fifth iteration that finds it full."""
    card, iterate, left = Card(), Trainee.iterate, [4]

    def counted(self: Trainee, *arguments: object, **named: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise torch.OutOfMemoryError(CARD_SAYS)
        iterate(self, *arguments, **named)

    monkeypatch.setattr(Trainee, "iterate", counted)
    monkeypatch.setattr(memory, "memory_of", lambda _: card)
    monkeypatch.setattr(memory, "measured_on", lambda *_: card.measure)
    return card


def carried_out(on: Ground, folder: Path) -> Outcome:
    """A run of the baseline on whatever device the ground was made for."""
    planned = spec(resolved("baseline"), on=on, budget="20 it", pace="iterations", iterations=20)
    run = Run(planned, folder / "out.json", Heartbeat(folder / "out.json"), folder)
    run.check_device = lambda: None  # type: ignore[method-assign]
    return run.carry_out()


EXPECTED = (
    "out of memory: 137.9 GiB held and 4.20 GiB asked for at batch 8, cuda:0 has 139.8 GiB (138.8 GiB free); "
    f"batch 7 would fit (estimated from 2 and 4): write training.batch: 7 {COPY}"
)


def test_a_run_that_runs_out_of_memory_ends_with_what_to_do(tiny_ground: Ground, too_little: Card, tmp_path: Path):
    """Three iterations of warm-up and one of training; the batch is not changed by itself."""
    outcome = carried_out(tiny_ground, tmp_path)
    assert (outcome.ending, outcome.reason, outcome.iterations) == ("out_of_memory", EXPECTED, 1)
    assert outcome.scores is None


def test_a_run_that_a_cpu_has_no_memory_for_says_so(tiny_ground: Ground, monkeypatch, tmp_path: Path):
    """A tensor of a petabyte, that torch refuses indeed; what the process held is a matter of this machine."""
    monkeypatch.setattr(Trainee, "iterate", lambda *_, **__: torch.empty(2**50, dtype=torch.uint8))
    outcome = carried_out(tiny_ground, tmp_path)
    assert outcome.ending == "out_of_memory"
    assert re.fullmatch(
        r"out of memory: \d+\.\d GiB held and 1048576\.0 GiB asked for at batch 8, this machine has \d+\.\d GiB; "
        rf"a smaller batch needs less: write training\.batch: N {re.escape(COPY)}",
        outcome.reason or "",
    )


def test_a_profile_that_runs_out_of_memory_is_refused_with_the_same_words(
    tiny_ground: Ground, too_little: Card, tmp_path: Path
):
    """The ending goes with it, so that planned runs need not be tried."""
    asked = ProfileSpec(ground=tiny_ground, method=method("baseline"), device="cpu", seconds=0.5)
    (tmp_path / "spec.json").write_text(asked.model_dump_json())
    with pytest.raises(OutOfMemory) as refusal:
        profile.main(tmp_path / "spec.json", tmp_path / "out.json", Heartbeat(tmp_path / "out.json"))
    assert (ending_of(refusal.value), reason_of(refusal.value)) == ("out_of_memory", EXPECTED)


def test_nothing_is_raised_where_not_even_the_device_answers(tiny_ground: Ground, monkeypatch, tmp_path: Path):
    """The reason is shorter then."""

    def silent(_: torch.device) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(memory, "memory_of", silent)
    heartbeat = Heartbeat(tmp_path / "out.json")
    heartbeat.enter("training")
    line = out_of_memory(torch.OutOfMemoryError(CARD_SAYS), tiny_ground, method(), CPU, heartbeat)
    assert line == "out of memory in phase 'training' at batch 8"


def test_a_probe_begins_as_a_run_of_its_batch_does(tiny_ground: Ground, monkeypatch: pytest.MonkeyPatch):
    """Two iterations of the asked batch with the workload's crops."""
    seen: list[tuple[int, ...]] = []
    iterate = Trainee.iterate

    def watched(self: Trainee, images: Tensor, labels: Tensor, progress: float) -> None:
        seen.append(tuple(images.shape))
        iterate(self, images, labels, progress)

    monkeypatch.setattr(Trainee, "iterate", watched)
    memory.try_batch(tiny_ground, method("baseline"), 2, CPU)
    assert seen == [(2, 3, 64, 64)] * 2
