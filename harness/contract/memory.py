"""What a method remembers besides its parameters and buffers, where neither checkpoint nor warm-up would find it."""

import hashlib
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.contract.guard import Cheating

EXPECTED = "expected all state in buffers, parameters or get_extra_state"
PLAIN = (int, float, complex, str, bytes, bool, type(None), torch.dtype, torch.device, torch.Size)
STATE = ("_parameters", "_buffers", "_modules")
SHIPPED_MODULES = "methods."


def remembered(distiller: nn.Module) -> dict[str, str]:
    """Digests by name of all plain attributes of its modules, and of the globals of the files that its losses are from.

    An optimizer counts by its state, which changes and can be put back; what is known to the state dict counts by name.
    """
    files = _files(distiller)
    known = {id(own): name for name, own in (*distiller.named_parameters(), *distiller.named_buffers())}
    known |= {id(module): name for name, module in distiller.named_modules()}
    found: dict[str, str] = {}
    for path, module in distiller.named_modules():
        for name, value in _attributes(module):
            found[f"{path}.{name}" if path else name] = _digest(value, known, files)
    for file in files:
        for name, value in vars(sys.modules[file]).items():
            if not name.startswith("__"):
                found[f"{Path(sys.modules[file].__file__ or file).name}: {name}"] = _digest(value, known, files)
    return found


def must_be_forgotten(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Cheating when the state was put back, but not all that is remembered is as before."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if names:
        raise Cheating(f"{', '.join(names)}: changed, and was not put back with the state: {EXPECTED}")


def _attributes(module: nn.Module) -> Iterator[tuple[str, object]]:
    """All but what the state dict holds; a buffer that it leaves out is an attribute like any other."""
    yield from ((name, value) for name, value in vars(module).items() if name not in STATE)
    for name in module._non_persistent_buffers_set:
        buffer = module._buffers[name]
        yield name, None if buffer is None else buffer.clone()


def _files(distiller: nn.Module) -> tuple[str, ...]:
    """The modules that the losses come from, and those of the shipped methods that they use."""
    losses = [getattr(term, "loss", None) for term in getattr(distiller, "terms", ())]
    own = [loss.func if isinstance(loss, partial) else type(loss) for loss in losses]
    found: set[str] = set()
    new = {each.__module__ for each in own}
    while new:
        found |= new
        used = (value for name in new for value in vars(sys.modules[name]).values())
        names = {
            value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "") for value in used
        }
        new = {name for name in names if str(name).startswith(SHIPPED_MODULES)} - found
    return tuple(sorted(found))


def _digest(value: object, known: Mapping[int, str], files: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for part in _Telling(known, files).told(value):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


class _Telling:
    """A value in bytes: equal values tell the same."""

    def __init__(self, known: Mapping[int, str], files: tuple[str, ...]) -> None:
        self.known = known
        self.files = files
        self.seen: dict[int, object] = {}

    def told(self, value: Any) -> Iterator[bytes]:  # noqa: ANN401
        """Its type, and what it holds."""
        yield type(value).__qualname__.encode()
        if isinstance(value, PLAIN):
            yield repr(value).encode()
        elif id(value) in self.known:
            yield self.known[id(value)].encode()
        elif id(value) not in self.seen:  # else it holds itself, or has been told
            self.seen[id(value)] = value
            for part in self._held(value):
                yield from (part,) if isinstance(part, bytes) else self.told(part)

    def _held(self, value: Any) -> Iterable[object]:  # noqa: ANN401
        """What tells it apart from others of its type: bytes, or values that are told in turn."""
        if isinstance(value, Tensor):
            bare = value.detach().cpu().contiguous().reshape(-1)
            return (repr((value.shape, value.dtype)).encode(), bare.view(torch.uint8).numpy().tobytes())
        if isinstance(value, np.ndarray):
            return (repr((value.shape, value.dtype)).encode(), value.tobytes())
        if isinstance(value, Mapping):
            return (part for item in value.items() for part in item)
        if isinstance(value, set | frozenset):
            return sorted(_digest(part, self.known, self.files) for part in value)
        if isinstance(value, list | tuple | deque):
            return value
        if isinstance(value, torch.optim.Optimizer):
            return (value.state_dict(),)
        if isinstance(value, torch.Generator):
            return (value.get_state(),)
        if hasattr(value, "cache_info"):
            return (value.cache_info().currsize,)
        return self._held_by_code(value)

    def _held_by_code(self, value: Any) -> Iterable[object]:  # noqa: ANN401
        """Of functions and classes of the method's own what can change about them; of others the name."""
        if isinstance(value, partial):
            return (value.func, value.args, value.keywords)
        if isinstance(value, MethodType):
            return (value.__func__, value.__self__)
        if isinstance(value, CellType):
            return (value.cell_contents,) if value != CellType() else ()
        if isinstance(value, FunctionType | type):
            name = (value.__module__, value.__qualname__)
            if value.__module__ not in self.files:
                return name
            if isinstance(value, type):
                return (name, {key: own for key, own in vars(value).items() if not key.startswith("__")})
            return (name, value.__defaults__, value.__kwdefaults__, value.__closure__, vars(value))
        if isinstance(value, ModuleType):
            return (value.__name__,)
        return (vars(value),) if hasattr(value, "__dict__") else ()
