"""Single precision inside mixed precision: sums over a crop's positions do not fit the half formats."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full(tensor: Tensor) -> Tensor:
    """At least single precision."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """A context in which matrix products and convolutions of the tensor's device keep the precision of their inputs."""
    kind = tensor.device.type
    # They do so by themselves outside of mixed precision, and entering it costs as much as a small kernel.
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()
