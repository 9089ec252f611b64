"""What Slurm's commands print, as 22.05 was seen to print it."""

import subprocess
from pathlib import Path

import pytest

from harness.executors import squeue
from harness.executors.squeue import Entry, NoAnswer, Question, look, look_back, on_one_line, parse


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a shell script in a command's place."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def put(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    return put


def test_jobs_and_tasks_of_arrays_are_entries_by_their_ids():
    """One that waits, one that works, one that ended; a word for nothing is nothing."""
    said = "2_4|PENDING||JobArrayTaskLimit|abc\n2_0|RUNNING|n1|None|abc\n1|COMPLETED|n[1-2]|None|true\n"
    assert parse(said, blank={"None"}) == {
        "2_4": Entry("PENDING", "", "JobArrayTaskLimit", "abc"),
        "2_0": Entry("RUNNING", "n1", "", "abc"),
        "1": Entry("COMPLETED", "n[1-2]", "", "true"),
    }


def test_a_bar_in_a_name_is_the_names_and_other_lines_are_no_entries():
    """Names are other people's; a line may be a warning."""
    assert parse("7|RUNNING|n1|None|a|b\nslurm_load_jobs: warning\n||||\n") == {
        "7": Entry("RUNNING", "n1", "None", "a|b")
    }


def test_who_cancelled_is_no_part_of_a_state():
    """Accounts tell it."""
    assert parse("3|CANCELLED by 1000|n1|None|x")["3"].state == "CANCELLED"


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED", "CONFIGURING"])
def test_a_job_in_such_a_state_goes_on(state):
    """Also one that is about to end, for it may yet be requeued."""
    assert not Entry(state, "", "", "x").over


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETED", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"])
def test_a_job_in_such_a_state_is_over(state):
    """And has an ending of ours."""
    assert Entry(state, "", "", "x").over


def test_an_entry_says_itself_to_a_person():
    """State, reason, node, where there are such."""
    assert Entry("TIMEOUT", "n1", "TimeLimit", "x").told == "Slurm: TIMEOUT (TimeLimit) on n1"
    assert Entry("CANCELLED", "", "", "x").told == "Slurm: CANCELLED"


def test_a_queue_that_does_not_answer_says_nothing(command):
    """Which is not the same as an empty queue."""
    command("squeue", "echo 'squeue: error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(NoAnswer, match=r"^Unable to contact slurm controller$"):
        look()
    command("squeue", "exit 0")
    assert look() == {}


def test_what_a_person_wishes_to_see_by_default_changes_nothing(command, monkeypatch):
    """Slurm's commands take wishes from the environment too; which cluster it is they say as well, and is kept."""
    for name in ("SQUEUE_STATES", "SACCT_FORMAT", "SCANCEL_INTERACTIVE", "SLURM_CONF"):
        monkeypatch.setenv(name, "x")
    command("squeue", 'echo "1|RUNNING|n1|$SQUEUE_STATES$SACCT_FORMAT$SCANCEL_INTERACTIVE$SLURM_CONF|$*"')
    assert look()["1"].reason == "x"
    assert "--all" in look()["1"].name


def test_without_accounts_nothing_is_known_of_forgotten_jobs(command):
    """The command then fails."""
    command("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert look_back(["1"]) == {}


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "SUSPENDED"])
def test_accounts_are_believed_of_ends_alone(command, state):
    """Of a job that Slurm's head lost they say such a word for ever."""
    command("sacct", f"echo '1|{state}|n1|None|ours'; echo '2|CANCELLED by 0|n1|None|ours'")
    assert look_back(["1", "2"]) == {"2": Entry("CANCELLED", "n1", "", "ours")}


def test_why_the_queue_does_not_answer_is_kept(command):
    """For a person; accounts are not asked then."""
    command("squeue", "exit 3")
    question = Question({"1": "ours"})
    question._thread.join()
    assert (question.entries, question.complaint) == (None, "it ended with code 3")


def test_a_complaint_of_many_lines_is_one():
    """Without the command's name before each."""
    assert on_one_line("sbatch: error: no such partition\n\nsbatch: error: Batch job submission failed\n") == (
        "no such partition; Batch job submission failed"
    )
    assert on_one_line(" \n") == "nothing"


def test_accounts_are_asked_for_what_the_queue_forgot_or_has_under_another_name(command):
    """In one question; for jobs that the queue knows there is none."""
    command("squeue", "echo '1|RUNNING|n1|None|ours'; echo '2|RUNNING|n1|None|theirs'")
    command("sacct", 'for word in "$@"; do case "$word" in --jobs=2,3) echo "3|TIMEOUT|n2|None|ours" ;; esac; done')
    question = Question({"1": "ours", "2": "ours", "3": "ours"})
    question._thread.join()
    assert question.entries["1"].state == "RUNNING"
    assert question.entries["3"] == Entry("TIMEOUT", "n2", "", "ours")


def test_a_command_that_is_not_there_or_hangs_is_no_crash(monkeypatch):
    """Both are as good as no answer."""

    def hangs(*arguments: object, **settings: object) -> None:
        raise subprocess.TimeoutExpired("squeue", 60)

    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoAnswer, match=r"^squeue: No such file or directory$"):
        look()
    assert look_back(["1"]) == {}
    monkeypatch.setattr(squeue.subprocess, "run", hangs)
    with pytest.raises(NoAnswer, match=r"^it was waited for 20 s$"):
        look()
