"""Which device a result is of, asked without torch and without a driver."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.ledger import device
from harness.ledger.device import Conditions, conditions, cores, default_devices, device_class, torch_version
from harness.ledger.errors import BadInput
from tests import factories
from tests.ledger.driver import Card, Driver, no_driver

ROOT = Path(__file__).parents[2]


@pytest.fixture
def nvml(monkeypatch):
    """Two cards of 80 GiB; the second has its power limited."""
    driver = Driver(Card("GPU-aaa"), Card("GPU-bbb", power_limit_mw=350_500))
    return driver.install(monkeypatch)


@pytest.fixture
def without_driver(monkeypatch):
    no_driver(monkeypatch)


def test_a_cpus_class_has_its_model_its_threads_and_torch():
    """Nothing of a CPU depends on a driver."""
    found = device_class("cpu", 1)
    assert (found.kind, found.threads, found.count, found.cuda, found.memory_gib) == ("cpu", 1, 1, None, None)
    assert found.model
    assert found.torch == ".".join(torch_version()[0].split(".")[:2])


def test_threads_part_two_classes():
    """Two threads are another device."""
    assert device_class("cpu", 1).digest != device_class("cpu", 2).digest


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "Test CPU, 1 thread"),
        ({"threads": 2}, "Test CPU, 2 threads"),
        ({"kind": "cuda", "model": "Card 9000"}, "Card 9000"),
    ],
)
def test_a_class_is_called_by_its_model(changes, label):
    """As tables show it."""
    assert factories.device_class(**changes).label == label


def test_a_cards_class_is_what_the_driver_says(nvml):
    """Model, memory, power limit in whole watts; what it does not support is null."""
    found = device_class("cuda:1", 4)
    assert (found.kind, found.model, found.memory_gib, found.power_limit_watts) == ("cuda", "Card 9000", 80, 350)
    assert (found.mig, found.cuda) == (None, torch_version()[1])
    assert nvml.open == 0


def test_conditions_name_the_card_and_its_driver(nvml):
    """Noted, so that two records of one class can be told apart."""
    found = conditions("cuda:0")
    assert (found.uuid, found.driver) == ("GPU-aaa", "570.1")
    assert (found.sm_clock_mhz, found.memory_clock_mhz) == (1980, 3201)
    assert nvml.open == 0


def test_what_a_card_does_not_tell_is_null(nvml):
    """Never 0: power limit, memory, driver and clocks of a card that supports none of these questions."""
    nvml.refuse("MemoryInfo", "EnforcedPowerLimit", "ClockInfo", "UUID")
    here, found = device_class("cuda:0", 1), conditions("cuda:0")
    assert (here.memory_gib, here.power_limit_watts) == (None, None)
    assert (found.sm_clock_mhz, found.memory_clock_mhz, found.uuid) == (None, None, None)


def test_a_partition_is_a_class_of_its_own(monkeypatch):
    """The same model, its own memory, and the profile's name; the whole card has none."""
    Driver(Card("GPU-aaa", partitions=("1g.10gb",)), Card("GPU-bbb")).install(monkeypatch)
    part, whole = device_class("cuda:0", 1), device_class("cuda:1", 1)
    assert (part.model, part.mig, part.memory_gib) == ("Card 9000", "1g.10gb", 10)
    assert (whole.model, whole.mig, whole.memory_gib) == ("Card 9000", None, 80)


def test_the_governor_is_read_where_linux_tells_it(monkeypatch, tmp_path):
    """A file on a host that has the means to change its clock; absent in most containers."""
    file = tmp_path / "scaling_governor"
    monkeypatch.setattr(device, "GOVERNOR", file)
    assert conditions("cpu").governor is None
    file.write_text("powersave\n")
    assert conditions("cpu").governor == "powersave"


def test_older_conditions_are_read():
    """Records from before clocks and governor were noted."""
    older = Conditions(host="h", uuid=None, driver=None, load=None, python="3", torch="2", platform="p")
    assert (older.sm_clock_mhz, older.memory_clock_mhz, older.governor) == (None, None, None)


def test_conditions_of_a_cpu_ask_no_driver(without_driver):
    """The host, its load, the versions."""
    found = conditions("cpu")
    assert (found.uuid, found.driver, found.torch) == (None, None, torch_version()[0])


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        (None, ("cuda:0", "cuda:1")),
        ("1", ("cuda:0",)),
        ("1,0", ("cuda:0", "cuda:1")),
        ("", ("cpu",)),
        ("-1", ("cpu",)),
        ("0,-1,1", ("cuda:0",)),
        ("7", ("cpu",)),
    ],
)
def test_the_default_is_every_card_that_may_be_used_or_the_cpu(nvml, monkeypatch, visible, devices):
    """CUDA stops at the first entry that names no card."""
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert default_devices() == devices
    assert nvml.open == 0


def test_without_a_driver_the_default_is_the_cpu(without_driver):
    """No card, no error."""
    assert default_devices() == ("cpu",)


@contextmanager
def bad_input():
    """The one line that a person is told."""
    said: list[str] = []
    with pytest.raises(BadInput) as caught:
        yield said
    said.append(str(caught.value))


@pytest.mark.parametrize(
    "name", ["gpu", "cuda", "cuda:", "cuda:x", "cuda:-1", "CUDA:0", "cuda:0,cuda:1", "", "cuda:１", "cuda:4294967296"]
)
def test_what_is_no_device_is_told_with_what_is(nvml, name):
    """Also a number so large that it would wrap around to the first card."""
    with bad_input() as said:
        device_class(name, 1)
    assert said == [f"--device: found {name!r}: expected cpu, or cuda:0, or several as cuda:0,cuda:1"]


def test_a_card_that_is_not_there_is_told_with_how_many_are(nvml):
    """And the driver is closed again."""
    with bad_input() as said:
        device_class("cuda:2", 1)
    assert said == ["--device: cuda:2: no such device here (2 to be seen): `bench doctor` lists what there is"]
    assert nvml.open == 0


def test_a_visible_card_that_the_driver_does_not_know_is_told(nvml, monkeypatch):
    """A mistyped UUID in CUDA_VISIBLE_DEVICES."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-zzz")
    with bad_input() as said:
        conditions("cuda:0")
    assert said == ["--device: cuda:0: no such device here (Not Found): `bench doctor` lists what there is"]
    assert nvml.open == 0


def test_a_card_without_a_driver_is_told(without_driver):
    """The driver's own words stand in the message."""
    with bad_input() as said:
        device_class("cuda:0", 1)
    assert said == [
        "--device: cuda:0: no such device here (NVML Shared Library Not Found): `bench doctor` lists what there is"
    ]


@pytest.mark.parametrize(
    ("source", "cuda"),
    [
        ("cuda: Optional[str] = '13.2'\n", "13.2"),
        ("cuda = '12.8'\n", "12.8"),
        ("cuda: Optional[str] = None\n", None),
        ("__version__ = '2.8.0'\n", None),
    ],
)
def test_cudas_version_is_read_from_torchs_file(tmp_path, source, cuda):
    """Builds for a CPU have none."""
    file = tmp_path / "version.py"
    file.write_text(source)
    assert device._cuda_version(file) == cuda


def test_an_environment_without_torch_is_told_what_to_do(monkeypatch):
    """Before anything is planned."""
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda _: None)
    with bad_input() as said:
        torch_version()
    mend = "run `make setup`, or `pip install torch torchvision`"
    assert said == [f"torch is not installed in this environment: {mend}"]


def test_a_folder_called_torch_is_no_torch(monkeypatch):
    """Found, but without a version: the same advice."""

    def missing(_: str) -> str:
        raise device.importlib.metadata.PackageNotFoundError("torch")

    monkeypatch.setattr(device.importlib.metadata, "version", missing)
    with pytest.raises(BadInput, match="torch is not installed in this environment"):
        torch_version()


def test_this_process_has_at_least_one_core():
    """However it is bound."""
    assert cores() >= 1


def test_asking_for_a_device_imports_no_torch():
    """Seconds that a plan does not have to wait for."""
    asks = "from harness.ledger.device import device_class; device_class('cpu', 1)"
    code = f"import sys; {asks}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False\n"
