"""Where a loss gets its random numbers from, by name: a run's own generator, or numbers stored in a file."""

from collections.abc import Mapping

import torch
from torch import Tensor

from harness.ledger.errors import BadInput


class Draw:
    """Numbers from a generator, on the device of the tensors that they meet.

    A name says what is drawn, so that stored numbers can take its place.
    """

    def __init__(self, generator: torch.Generator, device: torch.device) -> None:
        self.generator = generator
        self.device = device

    def uniform(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Uniform on [0, 1)."""
        return torch.rand(shape, generator=self.generator, device=self.generator.device).to(self.device)

    def normal(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Of mean 0 and variance 1."""
        return torch.randn(shape, generator=self.generator, device=self.generator.device).to(self.device)

    def integers(self, name: str, shape: tuple[int, ...], below: int) -> Tensor:
        """Each of 0 … below−1 as likely, int64."""
        return torch.randint(below, shape, generator=self.generator, device=self.generator.device).to(self.device)

    def choice(self, name: str, count: int, among: int) -> Tensor:
        """`count` different ones of 0 … among−1 in random order, int64."""
        order = torch.randperm(among, generator=self.generator, device=self.generator.device)
        return order[:count].to(self.device)

    def subsets(self, name: str, sizes: Tensor, count: int, largest: int) -> Tensor:
        """For each of K sizes that many different ones of 0 … size−1 in random order, without waiting for the device.

        Args:
            name: what is drawn.
            sizes: K, none above `largest`.
            count: how many are drawn for each; where a size is smaller, what follows its first `size` is meaningless.
            largest: what no size exceeds.

        Returns:
            K×min(count, largest), int64.

        """
        keys = self.uniform(name, (len(sizes), largest))
        outside = torch.arange(largest, device=self.device) >= sizes[:, None]
        return keys.masked_fill(outside, 2.0).topk(min(count, largest), dim=1, largest=False).indices


class StoredDraw(Draw):
    """Numbers drawn long ago, for holding a loss against golden vectors."""

    def __init__(self, numbers: Mapping[str, Tensor]) -> None:
        self.numbers = numbers

    def uniform(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The numbers stored under `name`."""
        return self._stored(name, shape)

    def normal(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The numbers stored under `name`."""
        return self._stored(name, shape)

    def integers(self, name: str, shape: tuple[int, ...], below: int) -> Tensor:
        """The numbers stored under `name`."""
        return self._stored(name, shape)

    def choice(self, name: str, count: int, among: int) -> Tensor:
        """The numbers stored under `name`."""
        return self._stored(name, (count,))

    def subsets(self, name: str, sizes: Tensor, count: int, largest: int) -> Tensor:
        """The numbers stored under `name`."""
        return self._stored(name, (len(sizes), min(count, largest)))

    def _stored(self, name: str, shape: tuple[int, ...]) -> Tensor:
        if name not in self.numbers:
            raise BadInput(f"no stored random numbers {name!r}: there are {', '.join(self.numbers) or 'none'}")
        if self.numbers[name].shape != shape:
            found = tuple(self.numbers[name].shape)
            raise BadInput(f"stored random numbers {name!r}: found shape {found}: expected {tuple(shape)}")
        return self.numbers[name]
