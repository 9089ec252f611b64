"""Where a loss gets its random numbers from, by name: a run's own generator, or numbers stored in a file."""

from collections.abc import Mapping

import torch
from torch import Tensor

from harness.ledger.errors import BadInput


class Draw:
    """Numbers from a generator, on the device of the tensors that they meet."""

    def __init__(self, generator: torch.Generator, device: torch.device) -> None:
        self.generator = generator
        self.device = device

    def uniform(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Uniform on [0, 1). `name` says what is drawn, so that stored numbers can take its place."""
        return torch.rand(shape, generator=self.generator, device=self.generator.device).to(self.device)


class StoredDraw(Draw):
    """Numbers drawn long ago, for holding a loss against golden vectors."""

    def __init__(self, numbers: Mapping[str, Tensor]) -> None:
        self.numbers = numbers

    def uniform(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The numbers stored under `name`."""
        if name not in self.numbers:
            raise BadInput(f"no stored random numbers {name!r}: there are {', '.join(self.numbers) or 'none'}")
        if self.numbers[name].shape != shape:
            found = tuple(self.numbers[name].shape)
            raise BadInput(f"stored random numbers {name!r}: found shape {found}: expected {tuple(shape)}")
        return self.numbers[name]
