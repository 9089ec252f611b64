"""Nodes that a queue chooses: each is held against the hosts that a track's costs are from."""

from pathlib import Path

from harness.executors.job import Errand
from harness.ledger.cost import CostFile, Profiled, pooled_baseline
from harness.ledger.errors import BadInput
from harness.ledger.files import read, write
from harness.ledger.method import student_alone
from harness.ledger.rules import SLOW_NODE
from harness.ledger.spec import Ground, ProfileSpec, RunSpec
from harness.sweep.costs import QUICK_SECONDS, cost_key, guest_path, home_pool, read_cost


def baseline_errand(ground: Ground, device: str, results: Path) -> Errand:
    """A quick baseline by every node that carries a run; those whose costs the track has need none."""
    key, answers = cost_key(ground, student_alone()), _answers(ground, results)
    answers.mkdir(parents=True, exist_ok=True)
    for file in home_pool(key, results):
        known = Profiled(measurement=file.measurement, conditions=file.conditions)
        write(answers / f"{file.conditions.host}.json", known)
    spec = answers / "spec.json"
    write(spec, ProfileSpec(ground=ground, method=student_alone(), device=device, seconds=QUICK_SECONDS))
    return Errand("profile", spec, answers)


def was_checked(ground: Ground, results: Path) -> bool:
    """Whether runs on this ground go to nodes that a queue chooses."""
    return _answers(ground, results).is_dir()


def node_is_slow(run: RunSpec, host: str, results: Path) -> bool:
    """Whether a node's own baseline lies off the track's. One that could measure none cannot be vouched for."""
    ground = run.ground
    key = cost_key(ground, student_alone())
    home = home_pool(key, results)
    if home:
        expected = pooled_baseline(file.measurement for file in home)
    elif run.cost is not None:  # a plan that was drawn up in another results folder brings its price
        expected = run.cost.seconds / run.cost.ratio
    else:
        return False
    own = [file.measurement for file in home if file.conditions.host == host]
    known = read_cost(guest_path(results, host, key))
    if not own and known is not None:
        own = [known.measurement]
    if not own:
        try:
            answer = read(_answers(ground, results) / f"{host}.json", Profiled)
        except BadInput:
            return True
        own = [answer.measurement]
        guest = CostFile(
            method=student_alone().name, key=key, measurement=answer.measurement, conditions=answer.conditions
        )
        write(guest_path(results, host, key), guest)
    off = pooled_baseline(own) / expected - 1
    return abs(off) > SLOW_NODE[ground.device_class.kind]


def _answers(ground: Ground, results: Path) -> Path:
    return results / "work" / "hosts" / cost_key(ground, student_alone()).digest
