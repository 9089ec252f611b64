"""What a method promises, tried on small networks in seconds and without data: a clause each, with what was found."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from harness.contract.building import building
from harness.contract.guard import Cheating, Guard
from harness.contract.iteration import FirstIteration
from harness.contract.memory import must_be_forgotten, remembered
from harness.contract.pupil import Broken, Pupil, blamed, copied, same
from harness.contract.scene import MORE, extreme, flat
from harness.distill.shapes import IGNORED
from harness.ledger.descriptor import SHARED_LOSSES
from harness.ledger.errors import BadInput
from harness.ledger.findings import CheckReport, CheckResult
from harness.ledger.method import ResolvedMethod, ResolvedTerm

TIMED = 2
"""Iterations of each side, the faster of which is told as the cost."""

IN_SIGHT = "works in the clock's sight"
"""Not tried by itself: a guard stands by all the others."""


def check(method: ResolvedMethod) -> CheckReport:
    """Every clause in order. Where a method cannot even be computed, what follows is left out, and named."""
    first = FirstIteration(method)
    clauses: list[tuple[str, Callable[[], str]]] = [
        ("loads", first.loads),
        ("losses are finite numbers", first.losses),
        ("gradients arrive", first.gradients),
        ("inputs are left alone", first.inputs),
        ("networks are left alone", first.networks),
        ("no hook stays", first.no_hook_stays),
        ("random numbers come from draw", first.random_numbers),
        ("the constructor only builds", lambda: only_builds(method)),
        ("logits of ±1000", lambda: extreme_logits(method)),
        ("nothing labelled, one class, flat features", lambda: degenerate(method)),
        ("one seed repeats", lambda: repeats(method)),
        ("goes on from its state", lambda: goes_on(method)),
        ("keeps nothing outside its state", lambda: keeps_nothing(method)),
        ("weight 0 costs nothing", lambda: nothing_for_nothing(method)),
        ("parts stand alone", lambda: parts_stand_alone(method)),
        ("optional stages can be missing", lambda: optional_stages(method)),
    ]
    # A fault inside a shared loss is its term's: the file that is to be mended is not ours.
    files = [term.file for term in method.terms if term.file != str(SHARED_LOSSES)]
    results: list[CheckResult] = []
    for name, clause in clauses:
        results.append(_result(name, clause, files, Guard(method)))
        if not results[-1].passed and (len(results) <= FirstIteration.VITAL or results[-1].name == IN_SIGHT):
            break
    else:
        results.append(CheckResult(name=IN_SIGHT, passed=True, found="no file written, no other process"))
    passed = all(result.passed for result in results)
    return CheckReport(
        method=method.name,
        results=tuple(results),
        unchecked=tuple(name for name, _ in clauses if name not in {result.name for result in results}),
        cost_ratio=cost_ratio(method) if passed and method.distils else None,
    )


def _result(name: str, clause: Callable[[], str], files: list[str], guard: Guard) -> CheckResult:
    """Whatever a stranger's Python raises is that Python's fault, and its writer can mend it."""
    try:
        with guard.armed():
            found = clause()
        return CheckResult(name=name, passed=True, found=found)
    except Exception as error:
        # Whatever a clause made of it.
        if guard.complaint is not None:
            return CheckResult(name=IN_SIGHT, passed=False, found=guard.complaint)
        return CheckResult(name=name, passed=False, found=blamed(error, files))


def only_builds(method: ResolvedMethod) -> str:
    """Two builds of one seed are equal, and neither learned anything."""
    with _cheating_breaks(), building(method):
        one, other = (Pupil(method).distiller.state_dict() for _ in range(2))
    for name in one:
        if not same(one[name], other[name]):
            raise Broken(f"two builds of one seed differ in {name}: expected torch's generator alone to be drawn from")
    return "two builds of one seed are equal"


def extreme_logits(method: ResolvedMethod) -> str:
    """Losses, gradients and state stay finite, in single precision and under bfloat16 autocast."""
    for half in (False, True):
        pupil = Pupil(method)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half), _said_of("bfloat16" if half else "float32"):
            pupil.prepare(0.0)
            ours, theirs = pupil.look()
            _stay_finite(pupil, extreme(ours), extreme(theirs), pupil.labels)
    return "finite in float32 and in bfloat16"


def degenerate(method: ResolvedMethod) -> str:
    """Each batch gives finite losses and gradients, or a refusal in words."""
    told = []
    for case in ("nothing labelled", "one class", "flat features"):
        pupil = Pupil(method)
        labels = {"nothing labelled": IGNORED, "one class": 0}
        given = torch.full_like(pupil.labels, labels[case]) if case in labels else pupil.labels
        pupil.prepare(0.0)
        ours, theirs = pupil.look()
        if case == "flat features":
            ours, theirs = flat(ours), flat(theirs)
        try:
            with _said_of(case):
                _stay_finite(pupil, ours, theirs, given)
        except BadInput as error:
            told.append(f"{case}: refused: {error}")
    return "; ".join(told) or "finite"


def _stay_finite(pupil: Pupil, ours: dict[str, Tensor], theirs: dict[str, Tensor], labels: Tensor) -> None:
    losses = pupil.losses(ours, theirs, labels)
    for name, loss in losses.items():
        with _said_of(name):
            if loss.requires_grad:
                pupil.gradients(loss, ours)
    pupil.distiller.after_step()
    for name, value in pupil.distiller.state_dict().items():
        if isinstance(value, Tensor) and bool(value.isnan().any()):
            raise Broken(f"{name} is NaN afterwards")


def repeats(method: ResolvedMethod) -> str:
    """Two builds of one seed take the same two iterations, bit for bit."""
    courses = []
    for pupil in (Pupil(method), Pupil(method)):
        torch.manual_seed(0)
        pupil.prepare(0.0)
        pupil.prepare(0.5)
        courses.append(_iterations(pupil, 2))
    return _must_be_same(courses[0], courses[1], "differ though the seed is one")


def goes_on(method: ResolvedMethod) -> str:
    """A fresh build that takes over a saved state goes on as the old one does, from preparation and from training."""
    old = Pupil(method)
    torch.manual_seed(0)
    old.prepare(0.0)
    in_preparation = old.saved()
    old.prepare(0.5)
    old.iterate()
    in_training = old.saved()
    expected = _iterations(old, 2)
    fresh = Pupil(method, seed=1)
    fresh.resume(in_training)
    complaint = "differ after a checkpoint: expected all state in buffers, parameters or get_extra_state"
    _must_be_same(expected, _iterations(fresh, 2), complaint)
    if old.distiller.needs_preparation:
        fresh = Pupil(method, seed=1)
        fresh.resume(in_preparation)
        fresh.prepare(0.5)
        fresh.iterate()
        _must_be_same(expected, _iterations(fresh, 2), f"{complaint}; this one in the preparation")
    return "bit for bit"


def keeps_nothing(method: ResolvedMethod) -> str:
    """With its state put back, a method is as it was: nothing that a warm-up filled is left for the run."""
    pupil = Pupil(method)
    state, before = pupil.saved(), remembered(pupil.distiller)
    pupil.prepare(0.0)
    pupil.prepare(0.5)
    _iterations(pupil, 2)
    pupil.resume(state)
    with _cheating_breaks():
        must_be_forgotten(before, remembered(pupil.distiller))
    return f"{len(before)} attributes and globals are as before"


def _iterations(pupil: Pupil, count: int) -> list[object]:
    """What the iterations' losses are, and what the method's state becomes."""
    losses = [pupil.iterate() for _ in range(count)]
    return [losses, copied(pupil.distiller.state_dict())]


def _must_be_same(one: list[object], other: list[object], complaint: str) -> str:
    if not same(one[0], other[0]):
        raise Broken(f"the losses {complaint}")
    if not same(one[1], other[1]):
        raise Broken(f"the method's own parameters or buffers {complaint}")
    return "bit for bit"


def nothing_for_nothing(method: ResolvedMethod) -> str:
    """With all weights 0 nothing is loaded or built, and the teacher does not run."""
    idle = Pupil(_weighing(method, lambda term, part: False, prepared=False)).distiller
    if idle.names or idle.teacher_stages or list(idle.parameters()):
        raise Broken(f"with all weights 0 there still are {', '.join(idle.names)}")
    return "no loss, no parameter, no teacher"


def parts_stand_alone(method: ResolvedMethod) -> str:
    """A term gives each of its parts without the others, which are not to be computed then."""
    tried = []
    for term, weighted in zip(method.terms, _weighted(method), strict=False):
        active = [part.name for part in term.parts if part.weight > 0]
        for name in active if len(active) > 1 else ():
            alone = _weighing(
                method,
                lambda other, part, term=term, name=name: other is term and part == name,  # type: ignore[misc]
                prepared=bool(weighted),
            )
            with _said_of(f"part {name} alone"):
                pupil = Pupil(alone)
                pupil.prepare(0.0)
                pupil.losses(*pupil.look(), pupil.labels)
            tried.append(name)
    return ", ".join(tried) or "no parts"


def _weighted(method: ResolvedMethod) -> Iterator[bool]:
    """For each term whether its loss needs preparation."""
    built = iter(Pupil(method).distiller.terms)
    for term in method.terms:
        yield bool(term.is_active and next(built).needs_preparation)


def _weighing(method: ResolvedMethod, keeps: Callable[[ResolvedTerm, str], bool], prepared: bool) -> ResolvedMethod:
    """The method with only those weights that `keeps` wants; the others are 0."""
    terms = []
    for term in method.terms:
        if term.parts:
            kept = [part if keeps(term, part.name) else part.model_copy(update={"weight": 0.0}) for part in term.parts]
            terms.append(term.model_copy(update={"parts": tuple(kept)}))
        else:
            terms.append(term if keeps(term, "") else term.model_copy(update={"weight": 0.0}))
    share = method.preparation_share if prepared else 0.0
    return method.model_copy(update={"terms": tuple(terms), "preparation_share": share})


def optional_stages(method: ResolvedMethod) -> str:
    """Where networks lack the stages that a descriptor calls optional, the rest is computed."""
    taps = [tap for term in method.terms if term.is_active for tap in term.taps if {tap.student, tap.teacher} & {*MORE}]
    if not taps:
        return "none is asked for that some networks lack"
    lacking = sorted({tap.student for tap in taps})
    if not all(tap.optional for tap in taps):
        return f"needs {', '.join(lacking)}: it does not apply to networks without"
    pupil = Pupil(method, more=False)
    pupil.prepare(0.0)
    pupil.losses(*pupil.look(), pupil.labels)
    return f"left out where there is none: {', '.join(pupil.distiller.left_out)}"


def cost_ratio(method: ResolvedMethod, now: Callable[[], float] = time.perf_counter) -> float:
    """An iteration's time over that of the student alone on these networks: told, and never compared."""
    alone = method.model_copy(update={"terms": (), "preparation_share": 0.0})
    return _seconds(method, now) / _seconds(alone, now)


def _seconds(method: ResolvedMethod, now: Callable[[], float]) -> float:
    pupil = Pupil(method)
    pupil.iterate()
    times = []
    for _ in range(TIMED):
        began = now()
        pupil.iterate()
        times.append(now() - began)
    return min(times)


@contextmanager
def _said_of(what: str) -> Iterator[None]:
    """A broken clause inside is told with the case in which it broke."""
    try:
        yield
    except Broken as error:
        raise Broken(f"{what}: {error}") from error


@contextmanager
def _cheating_breaks() -> Iterator[None]:
    """What would end a run inside breaks a clause."""
    try:
        yield
    except Cheating as error:
        raise Broken(str(error)) from error
