"""What flags become."""

from pathlib import Path

import pytest

from harness.cli.console import duration
from harness.cli.options import extras, factors, place, seconds, seeds_of, slots
from harness.ledger.device import cores
from harness.ledger.errors import BadInput
from harness.ledger.spec import Extras


def test_the_cpu_has_a_slot_for_each_core():
    """Runs go side by side, one a core."""
    assert slots("cpu") == ("cpu",) * cores()


def test_without_a_gpu_the_default_is_the_cpu(monkeypatch: pytest.MonkeyPatch):
    """NVML has no driver to talk to."""
    monkeypatch.setattr("harness.ledger.device.default_devices", lambda: ("cpu",))
    assert slots(None) == ("cpu",) * cores()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("cpu,cuda:0", "--device: found 'cpu,cuda:0': the CPU and GPUs are different device classes; name one kind"),
        ("cuda:0,cuda:0", "--device: found 'cuda:0,cuda:0': a device is named twice"),
    ],
)
def test_devices_that_do_not_go_together_are_bad_input(flag: str, message: str):
    """One line that says why."""
    with pytest.raises(BadInput) as caught:
        slots(flag)
    assert str(caught.value) == message


def test_a_profile_time_is_a_time():
    """2s is two seconds; iterations are not accepted."""
    assert (seconds(None), seconds("2s"), seconds("1m")) == (None, 2.0, 60.0)
    with pytest.raises(BadInput, match="--profile-time: '3 it' is no time: expected 2s or 1m"):
        seconds("3 it")


def test_factors_of_the_weights_are_numbers():
    """None said is the weights as they are."""
    assert (factors(""), factors("1"), factors("0.3,1, 3")) == ((1.0,), (1.0,), (0.3, 1.0, 3.0))


@pytest.mark.parametrize("text", ["three", "0", "-1", "1,", ",", "nan", "inf", "1e7", "1;3"])
def test_what_is_no_factor_is_bad_input(text: str):
    """One line that says what was expected."""
    with pytest.raises(BadInput) as caught:
        factors(text)
    expected = "expected factors from 1e-06 to 1e+06, comma-separated, as 0.3,1,3"
    assert str(caught.value) == f"--weight-scale: found {text!r}: {expected}"


def test_two_factors_of_one_name_are_bad_input():
    """kd_x0.333 cannot be two things."""
    with pytest.raises(BadInput, match=r"^--weight-scale: found '0.3333,0.33334': a factor is named twice"):
        factors("0.3333,0.33334")


def test_what_runs_keep_besides_is_as_asked():
    """Nothing unless it is."""
    assert extras(None, False) == Extras()
    assert extras("tensorboard", True) == Extras(keeps_pictures=True, track="tensorboard")


def test_an_unknown_tracker_is_bad_input_with_the_nearest_name():
    """One line."""
    with pytest.raises(BadInput) as caught:
        extras("tensorbord", False)
    expected = "--track: no tracker 'tensorbord' (did you mean 'tensorboard'?): known is tensorboard"
    assert str(caught.value) == expected


def test_a_tracker_that_is_not_installed_is_bad_input(monkeypatch: pytest.MonkeyPatch):
    """Found out before anything is spent, with what to do."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput) as caught:
        extras("tensorboard", False)
    assert str(caught.value) == "--track: tensorboard is not installed: pip install 'segkd-bench[track]'"


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.4, "12 s"), (89.4, "89 s"), (600, "10 min"), (7200, "2 h"), (9000, "2 h 30 min"), (200_000, "2 d 7 h")],
)
def test_durations_are_told_as_a_person_would(value: float, text: str):
    """In the largest unit that still says enough."""
    assert duration(value) == text


def test_seeds_are_counted_or_named():
    """Three by default; 2 are the seeds 0 and 1; a seed that is named runs alone."""
    assert [list(seeds_of(*given)) for given in ((None, None), (2, None), (None, [7]), (None, [7, 1]))] == [
        [0, 1, 2],
        [0, 1],
        [7],
        [7, 1],
    ]


@pytest.mark.parametrize(
    ("count", "named", "message"),
    [
        (3, [7], "--seed: found --seeds 3 too: expected one of the two"),
        (None, [7, 1, 7], "--seed: 7 is named twice"),
    ],
)
def test_seeds_that_contradict_each_other_are_bad_input(count: int | None, named: list[int], message: str):
    """One line."""
    with pytest.raises(BadInput) as caught:
        seeds_of(count, named)
    assert str(caught.value) == message


@pytest.mark.parametrize("slurm", ["partition=gpu,gres=gpu:1", "partition=long"])
def test_a_job_of_a_cluster_has_a_gpu_unless_it_is_said_otherwise(tmp_path: Path, slurm: str):
    """Whatever a partition is called."""
    pytest.importorskip("submitit")
    assert place("slurm", slurm, None, tmp_path).device == "cuda:0"
    assert place("slurm", slurm, "cpu", tmp_path).device == "cpu"


def test_a_results_folder_of_a_cluster_that_cannot_be_made_is_bad_input(tmp_path: Path):
    """One line, before a job is handed over."""
    pytest.importorskip("submitit")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput) as caught:
        place("slurm", "partition=gpu", None, tmp_path / "file")
    assert str(caught.value) == f"--results: {tmp_path / 'file'}: cannot be written: Not a directory"
