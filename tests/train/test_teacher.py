"""The teacher that a run is given, held against the digest that the plan has of it."""

from pathlib import Path

from harness.train.heartbeat import Heartbeat
from harness.train.run import Run
from tests.factories import spec
from tests.train.tiny import resolved, roomy, standing


def test_a_run_refuses_a_teacher_whose_digest_is_not_the_plans(tmp_path: Path):
    """Before an iteration, with the file and both digests in the reason."""
    ground = standing(tmp_path, roomy(tmp_path, 64))
    other = ground.model_copy(update={"teacher": ground.teacher.model_copy(update={"sha256": "0" * 64})})
    planned = spec(resolved("kd"), on=other, budget="2 it", pace="iterations", iterations=2)
    run = Run(planned, tmp_path / "out.json", Heartbeat(tmp_path / "out.json"), tmp_path)
    run.check_device = lambda: None  # type: ignore[method-assign]
    outcome = run.carry_out()
    assert (outcome.ending, outcome.iterations) == ("failed", 0)
    expected = f"SHA-256 is {ground.teacher.sha256[:12]}…, expected 000000000000…"
    assert outcome.reason == f"BadInput: {ground.teacher.path}: {expected}"
