"""Which card is meant, and what becomes of questions that it does not answer."""

import pynvml
import pytest

from harness.ledger.errors import BadInput
from harness.ledger.nvml import NotTold, card, open_card, visible_cards
from tests.ledger.driver import Card, Driver, no_driver

HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, POWER_BRAKE = 0x8, 0x20, 0x40, 0x80
IDLE, APPLICATION_CLOCKS, SW_POWER_CAP, SYNC_BOOST = 0x1, 0x2, 0x4, 0x10


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Two cards."""
    return Driver(Card("GPU-aaa"), Card("GPU-bbb")).install(monkeypatch)


@pytest.mark.parametrize(
    ("visible", "uuid"),
    [("1", "GPU-bbb"), ("1,0", "GPU-bbb"), (" 1 , 0", "GPU-bbb"), ("GPU-bbb", "GPU-bbb"), ("0,1", "GPU-aaa")],
)
def test_cuda_0_is_the_card_that_torch_would_use(driver, monkeypatch, visible, uuid):
    """NVML numbers all cards of the host; CUDA_VISIBLE_DEVICES picks and reorders for torch."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with card("cuda:0") as held:
        assert held.uuid == uuid


def test_a_card_that_is_lent_is_given_back_also_after_an_error(driver):
    """NVML counts who has it open."""
    opened: list[float] = []
    with pytest.raises(ZeroDivisionError), card("cuda:0"):
        opened.append(driver.open / 0)
    assert (opened, driver.open) == ([], 0)


def test_an_opened_card_stays_open_while_others_are_lent(driver):
    """The meters hold theirs for the life of the process; conditions are asked in between."""
    held = open_card("cuda:1")
    with card("cuda:0"):
        pass
    assert (driver.open, held.uuid) == (1, "GPU-bbb")


def test_a_card_that_is_not_there_leaves_the_driver_closed(driver):
    """Nothing is held for what could not be opened."""
    with pytest.raises(BadInput, match="no such device here"):
        open_card("cuda:2")
    assert driver.open == 0


def test_without_a_driver_no_card_is_visible(monkeypatch):
    """No error either: a CPU will do."""
    no_driver(monkeypatch)
    assert visible_cards() == 0


def test_a_partitioned_card_is_its_first_partition(monkeypatch):
    """CUDA takes the first that exists; the driver's places may have gaps."""
    Driver(Card("GPU-aaa", partitions=("3g.40gb", "1g.10gb"))).install(monkeypatch)
    held = open_card("cuda:0")
    assert (held.model, held.mig, held.memory_gib) == ("Card 9000", "3g.40gb", 40)


def test_a_partition_is_found_by_its_uuid(monkeypatch):
    """As schedulers hand them out."""
    Driver(Card("GPU-aaa", partitions=("3g.40gb", "1g.10gb"))).install(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-GPU-aaa-1")
    assert open_card("cuda:0").mig == "1g.10gb"


@pytest.mark.parametrize("missing", ["MigMode", "MaxMigDeviceCount"])
def test_a_card_that_knows_no_partitions_is_whole(driver, missing):
    """Older cards refuse the question."""
    driver.refuse(missing)
    assert open_card("cuda:0").mig is None


def test_a_partitioned_card_without_partitions_is_taken_whole(monkeypatch):
    """Nothing can run there; but that is for CUDA to say."""
    driver = Driver(Card("GPU-aaa", partitions=("1g.10gb",))).install(monkeypatch)
    driver.refuse("MigDeviceHandleByIndex", error=pynvml.NVML_ERROR_NOT_FOUND)
    assert open_card("cuda:0").mig is None


def test_units_are_whole_watts_mebihertz_and_joules(driver):
    """The driver counts in milliwatts and millijoules."""
    driver.cards[0].power_limit_mw, driver.cards[0].energy_mj = 350_500, 12_345
    held = open_card("cuda:0")
    assert (held.power_limit_watts, held.joules) == (350, 12.345)
    assert (held.sm_clock_mhz, held.memory_clock_mhz) == (1980, 3201)


@pytest.mark.parametrize("question", ["uuid", "joules", "sm_clock_mhz", "slowed", "processes", "memory_gib", "driver"])
def test_a_question_that_is_not_supported_is_told_as_such(driver, question):
    """One exception of ours, in the driver's words."""
    held = open_card("cuda:0")
    driver.refuse("")
    with pytest.raises(NotTold, match="Not Supported"):
        getattr(held, question)


def test_a_driver_too_old_for_a_call_is_told_like_any_other(driver, monkeypatch):
    """Pynvml raises something for it that is no NVMLError."""

    def too_old(_: object) -> None:
        raise pynvml.NVMLLibraryMismatchError("versions differ")

    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", too_old)
    with pytest.raises(NotTold, match="versions differ"):
        _ = open_card("cuda:0").processes


@pytest.mark.parametrize("reason", [HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, POWER_BRAKE, SW_POWER_CAP | HW_THERMAL])
def test_heat_and_brakes_slow_a_card_down(driver, reason):
    """Alone or beside others."""
    driver.cards[0].reasons = reason
    assert open_card("cuda:0").slowed is True


@pytest.mark.parametrize("reason", [0, IDLE, APPLICATION_CLOCKS, SW_POWER_CAP, SYNC_BOOST])
def test_the_power_limit_is_no_fault(driver, reason):
    """It is part of the device class, and a card under full load meets it; settings and idling are none either."""
    driver.cards[0].reasons = reason
    assert open_card("cuda:0").slowed is False


def test_an_older_driver_is_asked_by_the_older_name(driver):
    """What are event reasons now were throttle reasons."""
    driver.cards[0].reasons = HW_THERMAL
    driver.refuse("ClocksEventReasons", error=pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    assert open_card("cuda:0").slowed is True
