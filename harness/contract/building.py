"""While a method is built: no data, no products of matrices, no gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
import torch._dynamo  # now: torch would import it at its first optimizer, and trip over what is put in place here
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from harness.contract.guard import NO_DATA, Guard
from harness.ledger.method import ResolvedMethod

aten = torch.ops.aten
COMPUTED = {*flop_registry, aten.mv, aten.addmv, aten.dot, aten.vdot, aten.addr}
"""Convolutions and products of matrices and vectors: initialisers draw numbers, and need none."""


@contextmanager
def building(method: ResolvedMethod) -> Iterator[None]:
    """Inside, the method is built: Cheating where its constructor does more than to shape and to draw tensors."""
    guard = Guard(method, reads=False)

    def refuse(*_: object, **__: object) -> None:
        guard.refuse("the constructor takes gradients: expected it to see widths and settings, and to learn nothing")

    with (
        guard.armed(),
        _NothingComputed(guard),
        mock.patch.object(torch.autograd, "backward", refuse),
        mock.patch.object(torch.autograd, "grad", refuse),
    ):
        yield


class _NothingComputed(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses every operation that has FLOPs; on tensors without numbers, from which sizes follow, there are none."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.guard = guard

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """The operation's result."""
        if func.overloadpacket in COMPUTED and _has_numbers(args):
            self.guard.refuse(f"the constructor computes ({func.overloadpacket}): {NO_DATA}")
        with self:
            # In inference mode a product arrives here before it is taken apart.
            taken_apart = func.decompose(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {})) if taken_apart is NotImplemented else taken_apart


def _has_numbers(arguments: Any) -> bool:  # noqa: ANN401
    return any(isinstance(leaf, Tensor) and not leaf.is_meta for leaf in tree_leaves(arguments))
