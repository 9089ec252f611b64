"""Single precision inside mixed precision: sums over a crop's positions do not fit the half formats."""

import torch
from torch import Tensor


def full(tensor: Tensor) -> Tensor:
    """At least single precision."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def full_precision(tensor: Tensor) -> torch.autocast:
    """A context in which matrix products and convolutions of the tensor's device keep the precision of their inputs."""
    return torch.autocast(tensor.device.type, enabled=False)
