"""What a Python file of losses offers, by reading its source alone: names, settings, and whose code it uses."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.ledger.errors import BadInput
from harness.ledger.files import read_bytes

LONGEST_SOURCE = 2**18
"""Bytes of a method's Python, of which its syntax tree takes some hundreds each."""

GIVEN = frozenset(
    (
        *("draw", "parts", "group", "classes"),
        *("student_channels", "teacher_channels", "student_size", "teacher_size"),
    )
)
"""Keyword arguments of a loss that the engine gives; the others are settings."""

METHODS = "methods"
"""The package whose files may use each other."""

KINDS: Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "tuple[int, ...]": (tuple,),
    "tuple[float, ...]": (tuple,),
}
"""The annotations that are checked, and what a descriptor may say for them."""

IN_WORDS: Mapping[str, str] = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "tuple[int, ...]": "a list of whole numbers",
    "tuple[float, ...]": "a list of numbers",
}
"""The same, as a person says it."""


@dataclass(frozen=True)
class Parameter:
    """A keyword-only argument that a descriptor may set."""

    name: str
    annotation: str
    required: bool

    @property
    def expected(self) -> str:
        """What a descriptor may say for it."""
        return IN_WORDS.get(self.annotation, self.annotation)

    def takes(self, value: object) -> bool:
        """Whether the annotation, where it is a plain one, allows the value."""
        kinds = KINDS.get(self.annotation)
        if kinds is None:
            return True
        if self.annotation == "tuple[int, ...]" and isinstance(value, tuple):
            return all(isinstance(item, int) for item in value)
        return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


@dataclass(frozen=True)
class Signature:
    """A loss as its file declares it."""

    settings: tuple[Parameter, ...]
    given: frozenset[str]

    @property
    def names(self) -> tuple[str, ...]:
        """The settings by name."""
        return tuple(setting.name for setting in self.settings)

    @property
    def has_parts(self) -> bool:
        """Whether it returns a loss for each of several parts."""
        return "parts" in self.given


def loss_signatures(file: Path, where: str) -> Mapping[str, Signature]:
    """The public functions and classes of a Python file with what each takes."""
    found: dict[str, Signature] = {}
    for node in parse_python(file, where).body:
        try:
            if isinstance(node, ast.ClassDef):
                makers = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
                found[node.name] = _signature(makers[0] if makers else None)
            elif isinstance(node, ast.FunctionDef):
                found[node.name] = _signature(node)
        except RecursionError as error:  # of an annotation
            raise BadInput(f"{where}: {file}:{node.lineno}: not Python: nested too deeply") from error
    return {name: signature for name, signature in found.items() if not name.startswith("_")}


def parse_python(file: Path, where: str) -> ast.Module:
    """The file's syntax tree; BadInput, which begins with `where`, when it has none."""
    try:
        return ast.parse(read_bytes(file, LONGEST_SOURCE).decode())
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise BadInput(f"{where}: {file}:{line}: not Python: {getattr(error, 'msg', None) or error}") from error
    except (RecursionError, MemoryError) as error:
        raise BadInput(f"{where}: {file}: not Python: nested too deeply") from error


def closure(files: Iterable[Path], shipped: Path) -> frozenset[Path]:
    """The files and all files of shipped methods that they import, however indirectly."""
    found: set[Path] = set()
    pending = [file.resolve() for file in files]
    while pending:
        file = pending.pop()
        if file not in found:
            found.add(file)
            pending += [path.resolve() for path in _imported(file, shipped) if path.is_file()]
    return frozenset(found)


def _imported(file: Path, shipped: Path) -> Iterator[Path]:
    """The shipped methods' files that a file imports from."""
    for node in ast.walk(parse_python(file, str(file))):
        names: Sequence[str] = ()
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from methods.mgd import Generator`, and `from methods import mgd`.
            names = (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            package, _, module = name.partition(".")
            if package == METHODS and module:
                yield shipped / f"{module.replace('.', '/')}.py"


def _signature(function: ast.FunctionDef | None) -> Signature:
    if function is None:
        return Signature((), frozenset())
    pairs = list(zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True))
    settings = tuple(
        Parameter(argument.arg, ast.unparse(argument.annotation) if argument.annotation else "", default is None)
        for argument, default in pairs
        if argument.arg not in GIVEN
    )
    return Signature(settings, frozenset(argument.arg for argument, _ in pairs) & GIVEN)
