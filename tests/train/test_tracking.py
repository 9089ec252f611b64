"""What TensorBoard reads of a run, and that no thread and no second file is needed for it."""

import sys
import threading
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harness.ledger.errors import BadInput
from harness.ledger.record import Point
from harness.train.tracking import NoTracker, numbers_of, tracker_of

POINT = Point(iteration=3, spent_seconds=1.5, task_loss=2.0, term_losses=(0.5, 0.25), learning_rate=0.01)


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def test_unasked_nobody_is_told(tmp_path: Path):
    tracker = tracker_of(None, tmp_path / "run.1")
    assert isinstance(tracker, NoTracker)
    tracker.tell(3, {"loss/task": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_a_points_numbers_have_the_names_of_their_terms():
    assert numbers_of(POINT, ("kl@logits", "mse@stage3")) == {
        "loss/task": 2.0,
        "loss/kl@logits": 0.5,
        "loss/mse@stage3": 0.25,
        "learning rate": 0.01,
        "spent seconds": 1.5,
    }


def test_what_was_told_can_be_read_at_once(tmp_path: Path):
    """By iteration and wall time, while the file is open; the score stands on a curve of its own."""
    tracker = tracker_of("tensorboard", tmp_path / "run.1")
    assert list(tmp_path.iterdir()) == []
    before, threads = time.time(), threading.active_count()
    tracker.tell(3, {"loss/task": 2.0, "spent seconds": 1.5})
    assert [each.step for each in events(tmp_path / "run.1").Scalars("loss/task")] == [3]
    tracker.tell(7, {"loss/task": 0.5, "spent seconds": 2.5})
    tracker.tell(7, {"mIoU": 0.25})
    found = events(tmp_path / "run.1")
    assert sorted(found.Tags()["scalars"]) == ["loss/task", "mIoU", "spent seconds"]
    assert [(each.step, each.value) for each in found.Scalars("loss/task")] == [(3, 2.0), (7, 0.5)]
    assert [(each.step, each.value) for each in found.Scalars("mIoU")] == [(7, 0.25)]
    assert all(before <= each.wall_time <= time.time() for each in found.Scalars("spent seconds"))
    assert threading.active_count() == threads
    assert len(list((tmp_path / "run.1").iterdir())) == 1


def test_without_tensorboard_a_run_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the engine's Python is not the desk's."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "harness.train.event_files", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(BadInput, match=r"^--track: tensorboard is not installed: pip install 'segkd-bench\[track\]'$"):
        tracker_of("tensorboard", tmp_path)
