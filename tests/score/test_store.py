"""A results folder as runs: what counts, and what is no record, by name."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.ledger import stored
from harness.ledger.errors import BadInput
from harness.ledger.rules import RULES_VERSION
from harness.score import store
from harness.score.store import read_record, read_results
from tests.factories import record, save, spec


def changed(held, **changes):
    """The record with another spec."""
    return held.model_copy(update={"spec": held.spec.model_copy(update=changes)})


def the_one_unreadable(folder):
    (only,) = read_results(folder).unreadable
    return only


@pytest.mark.parametrize("folder", ["missing", "runs", "."])
def test_a_missing_or_empty_folder_holds_nothing(tmp_path, folder):
    """Nothing ran there yet."""
    (tmp_path / "runs").mkdir()
    found = read_results(tmp_path / folder)

    assert (found.runs, found.unreadable, found.superseded) == ((), (), 0)


def test_the_last_attempt_of_a_key_counts(tmp_path):
    """A run that failed and was repeated is one; ten comes after nine; what was superseded is counted."""
    save(tmp_path, *(record(ending="failed", reason="disk", attempt=attempt) for attempt in (2, 9)))
    save(tmp_path, record(miou=0.6, attempt=10), record(seed=1))
    found = read_results(str(tmp_path))

    assert [(run.seed, run.attempt, run.ending, run.miou) for run in found.runs] == [
        (0, 10, "done", 0.6),
        (1, 1, "done", 0.5),
    ]
    assert found.superseded == 2


def test_a_file_that_cannot_be_read_is_named_and_the_others_count(tmp_path):
    """One broken file takes no board away."""
    save(tmp_path, record())
    (tmp_path / "runs" / "abc.1.json").write_text('{"format": 1')
    found = read_results(tmp_path)

    assert len(found.runs) == 1
    assert [each.file for each in found.unreadable] == ["abc.1.json"]
    assert str(tmp_path) not in found.unreadable[0].why


def test_a_broken_last_attempt_leaves_the_one_before(tmp_path):
    """It is named, so that nobody takes the earlier one for the last without a line that says so."""
    save(tmp_path, record(miou=0.4))
    (written,) = (tmp_path / "runs").glob("*.json")
    broken = written.with_name(written.name.replace(".1.json", ".2.json"))
    broken.write_text("")
    found = read_results(tmp_path)

    assert [run.attempt for run in found.runs] == [1]
    assert [each.file for each in found.unreadable] == [broken.name]


def test_a_record_with_an_unreadable_budget_is_named(tmp_path):
    """Its board could not be told."""
    save(tmp_path, changed(record(), budget="a while"))

    assert "spec.budget" in the_one_unreadable(tmp_path).why
    assert "'a while'" in the_one_unreadable(tmp_path).why


@pytest.mark.parametrize("name", ["notes.json", "abc.json", "other.1.json"])
def test_a_record_under_a_strange_name_is_no_record(tmp_path, name):
    """A renamed record could hide another or count twice."""
    save(tmp_path, record())
    (written,) = (tmp_path / "runs").glob("*.json")
    written.rename(written.with_name(name))

    assert the_one_unreadable(tmp_path).file == name
    with pytest.raises(BadInput, match=name):
        read_record(tmp_path / "runs" / name)


def test_a_run_under_two_keys_counts_once(tmp_path):
    """Two folders' records of the same track, method, version and seed are one run: the second is named."""
    held = record()
    rules = RULES_VERSION - 1  # whose keys nobody can work out any more
    older = changed(held, key="a", rules=rules)
    save(tmp_path, older, changed(older, key="b"), changed(older, key="c", seed=1))
    found = read_results(tmp_path)

    assert [run.key for run in found.runs] == ["a", "c"]
    assert [(each.file, "a.1.json" in each.why) for each in found.unreadable] == [("b.1.json", True)]


@pytest.mark.parametrize("name", ["abc.1.status.json", "abc.1.spec.json", "abc.1.npz"])
def test_what_lies_beside_a_record_is_no_record(tmp_path, name):
    """The engine's status may lie there while a run is at work; counts lie beside every record."""
    save(tmp_path, record())
    (tmp_path / "runs" / name).write_text("{}")
    found = read_results(tmp_path)

    assert (len(found.runs), found.unreadable) == (1, ())


def test_runs_that_are_no_folder_are_refused(tmp_path):
    """A file in the folder's place is said, not read as empty."""
    (tmp_path / "runs").write_text("")

    with pytest.raises(BadInput, match="is no folder"):
        read_results(tmp_path)


def test_a_record_that_has_not_one_iou_a_class_is_named(tmp_path):
    """Nobody could say which class is which."""
    held = record()
    scores = held.outcome.scores.model_copy(update={"class_iou": (0.5, 0.5)})
    save(tmp_path, held.model_copy(update={"outcome": held.outcome.model_copy(update={"scores": scores})}))

    assert the_one_unreadable(tmp_path).why == "outcome.scores.class_iou: found 2 numbers: expected 4"


def test_a_number_beyond_all_runs_is_named(tmp_path):
    """Ten to the four hundredth iteration: no float holds what follows from it."""
    held = record()
    save(tmp_path, held.model_copy(update={"outcome": held.outcome.model_copy(update={"iterations": 10**400})}))

    assert "beyond anything that a run can have done" in the_one_unreadable(tmp_path).why


def test_a_trial_is_on_no_board(tmp_path):
    """It was scored on the tune split."""
    save(tmp_path, changed(record(), scored_on="tune", key=spec(scored_on="tune").key))

    assert the_one_unreadable(tmp_path).why == (
        "spec.scored_on: found 'tune': a trial of `bench tune`, which no board holds"
    )


def test_a_pipe_or_a_huge_file_is_never_opened(tmp_path, monkeypatch):
    """A stranger's folder neither blocks a report nor fills the memory."""
    save(tmp_path, record())
    os.mkfifo(tmp_path / "runs" / "abc.1.json")
    assert "is no plain file" in the_one_unreadable(tmp_path).why

    monkeypatch.setattr(stored, "LARGEST", 10)
    assert [each.why.split(":")[-1] for each in read_results(tmp_path).unreadable if each.file != "abc.1.json"] == [
        " expected at most 10"
    ]


@pytest.mark.parametrize("ended", ["tomorrow", "", "2025-13-01T00:00:00Z", "2025-01-01T00:00:00+02:00", "2025-01-01"])
def test_a_record_that_ended_at_no_time_is_named(tmp_path, ended):
    """By it the current version of a method is told: `zzz` would always be the last."""
    save(tmp_path, record("kd", ended=ended))

    (broken,) = read_results(tmp_path).unreadable
    assert broken.why == f'ended: found "{ended}": expected a time in UTC, by ISO 8601'


@pytest.mark.parametrize("ended", ["2025-01-01T00:00:00Z", "2025-01-01T00:00:00+00:00", "2025-01-01T00:00:00.5Z"])
def test_every_spelling_of_a_time_in_utc_is_read(tmp_path, ended):
    """The program's own and older ones."""
    save(tmp_path, record("kd", ended=ended))

    assert read_results(tmp_path).unreadable == ()


def test_many_records_are_read_in_shares_like_a_few(tmp_path, monkeypatch):
    """Two find what one finds, in the same order, broken files included."""
    save(tmp_path, *(record("kd", seed, 0.01 * seed) for seed in range(7)))
    (tmp_path / "runs" / "abc.1.json").write_text("{")
    alone = read_results(tmp_path)
    monkeypatch.setattr(store, "FEWEST_SHARED", 2)

    with ThreadPoolExecutor(1) as helper:
        assert read_results(tmp_path, helper) == alone
    assert len(alone.runs) == 7
