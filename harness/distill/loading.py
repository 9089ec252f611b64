"""From the loss that a descriptor names to the Python that computes it: the only place that runs a method's code."""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from torch import Tensor, nn

from harness.ledger.errors import BadInput, nearest
from harness.ledger.files import sha256
from harness.ledger.method import ResolvedTerm

Loss = Callable[..., Tensor]


def load(term: ResolvedTerm) -> Loss | type[nn.Module]:
    """The function or the module class that a term names, from its file."""
    path = Path(term.file)
    module = _run(path)
    known = [name for name in vars(module) if not name.startswith("_")]
    if term.function not in known:
        raise BadInput(f"{path}: has no '{term.function}'{nearest(term.function, known)}")
    found: Loss | type[nn.Module] = getattr(module, term.function)
    if not callable(found) or (isinstance(found, type) and not issubclass(found, nn.Module)):
        raise BadInput(f"{path}: '{term.function}' is no loss: expected a function or a class of torch.nn.Module")
    return found


def _run(path: Path) -> ModuleType:
    """The file as a module under a name of its own, so that no file hides a package or another method's file."""
    name = f"segkd_method_{path.stem}_{sha256(str(path.resolve()))[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path}: cannot be loaded: expected a Python file, its name ending in .py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while it runs.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        # Whatever a stranger's file raises while it is imported is that file's fault, and its writer can mend it.
        raise BadInput(f"{_line(path, error)}: cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _line(path: Path, error: Exception) -> str:
    """`path:line` of the last line of the file that ran, or that does not parse."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)
