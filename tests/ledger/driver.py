"""A driver that is not there: what NVML would answer, and how often it was opened."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pynvml
import pytest


@dataclass
class Card:
    """What a card says of itself; a test changes it as time passes."""

    uuid: str
    name: str = "Card 9000"
    memory_gib: int = 80
    power_limit_mw: int = 700_000
    energy_mj: int = 0
    sm_mhz: int = 1980
    reasons: int = 0
    processes: int = 1
    partitions: tuple[str, ...] = ()


class Driver:
    """Some cards, and the count of who has the driver open."""

    def __init__(self, *cards: Card) -> None:
        self.cards = cards
        self.open = 0
        self.refused: dict[str, int] = {}

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "Driver":
        """Takes the place of pynvml's functions."""
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        for name, answer in {
            "nvmlInit": self.init,
            "nvmlShutdown": self.shutdown,
            "nvmlSystemGetDriverVersion": lambda: "570.1",
            "nvmlDeviceGetCount": lambda: len(self.cards),
            "nvmlDeviceGetHandleByIndex": self.by_index,
            "nvmlDeviceGetHandleByUUID": self.by_uuid,
            "nvmlDeviceGetName": lambda card: card.name.encode(),
            "nvmlDeviceGetUUID": lambda card: card.uuid,
            "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(total=card.memory_gib * 2**30),
            "nvmlDeviceGetMigMode": lambda card: [int(bool(card.partitions)), 0],
            "nvmlDeviceGetMaxMigDeviceCount": lambda _: 7,
            "nvmlDeviceGetMigDeviceHandleByIndex": self.partition,
            "nvmlDeviceGetEnforcedPowerLimit": lambda card: card.power_limit_mw,
            "nvmlDeviceGetTotalEnergyConsumption": lambda card: card.energy_mj,
            "nvmlDeviceGetClockInfo": lambda card, which: card.sm_mhz if which == pynvml.NVML_CLOCK_SM else 3201,
            "nvmlDeviceGetCurrentClocksEventReasons": lambda card: card.reasons,
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda card: card.reasons,
            "nvmlDeviceGetComputeRunningProcesses": lambda card: [object()] * card.processes,
        }.items():
            monkeypatch.setattr(pynvml, name, self.unless_refused(name, answer))
        return self

    def unless_refused(self, name: str, answer: Callable[..., object]) -> Callable[..., object]:
        """The answer, or the error that stands against the question's name."""

        def asked(*arguments: object) -> object:
            for part, error in self.refused.items():
                if name.endswith(part):
                    raise pynvml.NVMLError(error)
            return answer(*arguments)

        return asked

    def refuse(self, *questions: str, error: int = pynvml.NVML_ERROR_NOT_SUPPORTED) -> None:
        """From now on these questions, by the ends of their names, are refused."""
        self.refused.update(dict.fromkeys(questions, error))

    def init(self) -> None:
        self.open += 1

    def shutdown(self) -> None:
        self.open -= 1

    def by_index(self, index: int) -> Card:
        if index >= len(self.cards):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return self.cards[index]

    def by_uuid(self, uuid: str) -> Card:
        for card in self.cards:
            if uuid == card.uuid:
                return card
            for place in range(len(card.partitions)):
                if uuid == self.part(card, place).uuid:
                    return self.part(card, place)
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def partition(self, card: Card, place: int) -> Card:
        """The partition at place + 1: a driver's first place may be empty."""
        if not 0 < place <= len(card.partitions):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return self.part(card, place - 1)

    @staticmethod
    def part(card: Card, place: int) -> Card:
        """As a driver describes it: the profile in its name, and its own memory."""
        profile = card.partitions[place]
        memory = int(profile.split(".")[1].removesuffix("gb"))
        return Card(f"MIG-{card.uuid}-{place}", f"{card.name} MIG {profile}", memory)


def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a host without NVIDIA's library."""

    def absent() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
