"""What may stand behind --slurm."""

import os

import pytest

from harness.executors.sbatch import SlurmOptions, alone
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
        ("nodes=2", "nodes: found '2': expected 1: a job is one process on one node"),
        ("nodes=1-2", "nodes: found '1-2': expected 1: a job is one process on one node"),
        ("ntasks_per_node=4", "ntasks-per-node: found '4': expected 1: a job is one process on one node"),
        ("ntasks-per-gpu=1", "ntasks-per-gpu is set by bench: a job is one process"),
        ("limit=" + "9" * 5000, "limit: found '999999999…': expected a whole number of at most 9 digits"),
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


@pytest.mark.parametrize("time", ["10", "1:00:00", "1-0", "2-12:30:00", "0", "INFINITE", "UNLIMITED", "9" * 5000])
def test_other_times_are_for_sbatch_to_judge(time):
    """As long as there is time to work, or no limit."""
    assert SlurmOptions.parse(f"time={time}").sbatch == {"time": time}


@pytest.mark.parametrize("nodes", ["1", "1-1"])
def test_a_job_may_ask_for_one_node_in_words(nodes):
    """Sites that want it said."""
    assert SlurmOptions.parse(f"nodes={nodes},ntasks-per-node=1").sbatch == {"nodes": nodes, "ntasks-per-node": "1"}


BENCHS = ("JOB_NAME", "ARRAY_INX", "NO_REQUEUE", "REQUEUE", "SIGNAL", "WAIT", "OUTPUT", "OPEN_MODE", "CLUSTERS")


@pytest.mark.parametrize(
    ("text", "stays", "goes"),
    [
        ("", ("ACCOUNT", "TIMELIMIT", "MEM_PER_CPU", "GRES"), ()),
        ("account=a,time=10,gres_flags=x", ("PARTITION", "GRES"), ("ACCOUNT", "TIMELIMIT", "GRES_FLAGS")),
        ("mem=4G", ("QOS",), ("MEM_PER_NODE", "MEM_PER_CPU", "MEM_PER_GPU")),
        ("switches=1@10,bb=x,cpu-freq=low", ("HINT",), ("REQ_SWITCH", "WAIT4SWITCH", "BURST_BUFFER", "CPU_FREQ_REQ")),
    ],
)
def test_the_environment_does_not_beat_what_is_asked_for(monkeypatch, text, stays, goes):
    """Which sbatch heeds before a script; what nobody asked for otherwise is a site's to say."""
    before = {f"SBATCH_{name}": "site" for name in (*stays, *goes, *BENCHS)}
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    with alone(SlurmOptions.parse(text)):
        assert {name for name in before if name in os.environ} == {f"SBATCH_{name}" for name in stays}
    assert {name: os.environ.get(name) for name in before} == before


def test_a_sweep_in_a_job_wishes_nothing_by_that_jobs_variables(monkeypatch):
    """But the cluster is the same, and variables that are not Slurm's are a person's."""
    goes = ("SLURM_JOB_ID", "SLURM_NTASKS", "SBATCH_ACCOUNT", "SUBMITIT_EXECUTOR", "RANK")
    for name in (*goes, "SLURM_CONF", "SEGKD_CACHE"):
        monkeypatch.setenv(name, "x")
    with alone(SlurmOptions({})):
        assert {name for name in (*goes, "SLURM_CONF", "SEGKD_CACHE") if name in os.environ} == {
            "SLURM_CONF", "SEGKD_CACHE",
        }  # fmt: skip
    assert all(os.environ[name] == "x" for name in goes)
