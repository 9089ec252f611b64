"""What may stand behind --slurm."""

import pytest

from harness.executors.sbatch import SlurmOptions
from harness.ledger.errors import BadInput


def test_options_go_to_sbatch_as_they_are():
    """Values with colons and equals signs too; underscores are spelt as sbatch spells them."""
    asked = SlurmOptions.parse("partition=bench, gres=gpu:1,time=1:00:00,cpus_per_task=8,comment=a=b")
    assert asked.sbatch == {
        "partition": "bench", "gres": "gpu:1", "time": "1:00:00", "cpus-per-task": "8", "comment": "a=b",
    }  # fmt: skip


def test_a_part_without_an_equals_sign_goes_on_with_the_value_before_it():
    """Lists of nodes have commas."""
    assert SlurmOptions.parse("nodelist=n1,n2,n[4-7],qos=x").sbatch == {"nodelist": "n1,n2,n[4-7]", "qos": "x"}


def test_true_is_an_option_without_a_value():
    """As --exclusive is one."""
    assert SlurmOptions.parse("exclusive=true").sbatch == {"exclusive": True}


def test_limit_and_grace_are_not_for_sbatch():
    """They are numbers, and have defaults."""
    asked = SlurmOptions.parse("limit=4,grace=30,partition=x")
    assert (asked.limit, asked.grace, dict(asked.sbatch)) == (4, 30, {"partition": "x"})
    assert SlurmOptions.parse("") == SlurmOptions({}, 1000, 120)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "partitoin=x",
            "found 'partitoin': expected a long option of sbatch, limit or grace (did you mean 'partition'?)",
        ),
        ("bench", "found 'bench': expected NAME=VALUE, comma-separated, as partition=gpu,time=60"),
        ("gres=gpu:1,exclusive", "found 'exclusive' without a value: expected exclusive=VALUE, or exclusive=true"),
        ("partition=", "found 'partition=': expected NAME=VALUE"),
        ("=x", "found '=x': expected NAME=VALUE"),
        ("qos=a,qos=b", "qos is given twice"),
        ("limit=0", "limit: found '0': expected a whole number above 0"),
        ("grace=1m", "grace: found '1m': expected a whole number above 0"),
        ("array=0-3", "array is set by bench: limit=N says how many jobs may run at once"),
        ("job_name=x", "job-name is set by bench: jobs are told apart by it"),
        ("comment=a\n#SBATCH --uid=0", "found 'comment=a\\n#SBATCH --uid=0': expected text on one line"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(text, said):
    """What was found, what was expected, the nearest name."""
    with pytest.raises(BadInput) as refused:
        SlurmOptions.parse(text)
    assert str(refused.value) == f"--slurm: {said}"


@pytest.mark.parametrize(
    ("time", "seconds"), [("1", 60), ("1:30", 90), ("0:01:40", 100), ("0-0:2", 120), ("2:00", 120)]
)
def test_a_time_that_grace_uses_up_is_refused(time, seconds):
    """A job would be told to stop at its start and be requeued, for ever."""
    with pytest.raises(BadInput) as refused:
        SlurmOptions.parse(f"time={time}")
    assert (
        str(refused.value)
        == f"--slurm: time={time}: found {seconds} s: expected more than grace=120 s, best by minutes"
    )
    assert SlurmOptions.parse(f"time={time},grace={seconds - 1}").grace == seconds - 1


@pytest.mark.parametrize("time", ["10", "1:00:00", "1-0", "2-12:30:00", "0", "INFINITE", "UNLIMITED"])
def test_other_times_are_for_sbatch_to_judge(time):
    """As long as there is time to work, or no limit."""
    assert SlurmOptions.parse(f"time={time}").sbatch == {"time": time}
