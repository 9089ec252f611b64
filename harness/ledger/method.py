"""A method: the distillation terms that are added to the task loss, read from a descriptor without running its code."""

import ast
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from harness.ledger.errors import BadInput, nearest
from harness.ledger.files import Value, sha256
from harness.ledger.reading import Document, parse, read_yaml

Family = Literal["baseline", "canonical", "general", "segmentation"]
Source = Literal["authors", "reimplementation", "transferred", "ours"]
Stage = Literal["stage1", "stage2", "stage3", "stage4", "decoded", "decoded_dropped", "logits", "aux_logits"]
Adapter = Literal["conv1x1", "conv1x1_without_bias"]
Setting = bool | int | float | str | tuple[int, ...] | tuple[float, ...]
Weight = Annotated[float, Field(ge=0)]


class Paper(Value):
    """Where the method was published."""

    arxiv: str | None = None
    venue: str | None = None
    title: str | None = None


class Reference(Value):
    """The released code that a method answers to."""

    repo: str
    commit: str


class Tap(Value):
    """A stage of the student against a stage of the teacher, perhaps through an adapter to the teacher's width."""

    student: Stage
    teacher: Stage
    adapter: Adapter | None = None


class Transfer(Value):
    """How a weight moves to a data set without a setting of its own: with the positions N of a crop's logits."""

    origin: str
    positions: PositiveInt
    scales_with: Literal["N", "1/N"]


class Term(Value):
    """One weighted loss, as its descriptor states it."""

    loss: str
    at: Stage | tuple[Stage, ...] | Tap
    weight: dict[str, Weight]
    source: Source | dict[str, Source]
    transfer: Transfer | None = None
    settings: dict[str, Setting] = Field(default_factory=dict, alias="with")
    optional: bool = False
    """Left out, and said so, where a network has no such stage."""


class Method(Value):
    """A descriptor."""

    title: str
    family: Family
    paper: Paper | None = None
    reference: Reference | None = None
    group: PositiveInt | None = None
    """The images that the authors had on one device, for terms that couple images."""
    terms: tuple[Term, ...]
    notes: str


class ResolvedTerm(Value):
    """A term with its file, its taps and its weight on one workload settled."""

    name: str
    file: str
    function: str
    taps: tuple[Tap, ...]
    listed: bool
    """Whether the loss is given tuples, one tensor a tap."""
    weight: Weight
    source: Source
    settings: dict[str, Setting]
    optional: bool


class ResolvedMethod(Value):
    """What an engine needs to run a method on one workload."""

    name: str
    title: str
    family: Family
    group: PositiveInt | None
    terms: tuple[ResolvedTerm, ...]
    digest: str

    @property
    def distils(self) -> bool:
        """Whether any term looks at a teacher."""
        return bool(self.terms)


BASELINE = "baseline"
SHIPPED = Path(str(resources.files("methods")))
DISTILL = Path(str(resources.files("harness"))) / "distill"
SHARED_LOSSES = DISTILL / "losses.py"
NAME = re.compile(r"[a-z0-9_]+")
PYTHON_FILE = re.compile(r"\w[\w.-]*\.py", re.ASCII)
GIVEN = {"draw", "student_channels", "teacher_channels"}
"""Keyword arguments of a loss that the engine gives; the others are settings."""


def shipped_methods() -> tuple[str, ...]:
    """The names that `--methods all` stands for: the baseline first, then the alphabet."""
    names = sorted(path.stem for path in SHIPPED.glob("*.yaml"))
    return tuple(sorted(names, key=lambda name: (name != BASELINE, name)))


def method_path(name: str) -> Path:
    """The descriptor of a shipped name, or the file that a person named."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name not in shipped_methods():
        raise BadInput(f"no method {name!r}{nearest(name, shipped_methods())}: see `bench methods list`")
    return SHIPPED / f"{name}.yaml"


def read_method(path: Path) -> Method:
    """The descriptor in a file, its losses and settings checked by reading their source; nothing is imported."""
    return _read(path)[1]


def _read(path: Path) -> tuple[Document, Method]:
    if not NAME.fullmatch(path.stem):
        raise BadInput(f"{path}: a method's name is its file's, of a-z, 0-9 and _")
    document = read_yaml(path)
    method = parse(document, Method)
    for index, term in enumerate(method.terms):
        _check_term(document, index, term)
    _check_family(document, method)
    return document, method


def _check_family(document: Document, method: Method) -> None:
    """BadInput unless exactly the baseline is without terms."""
    is_baseline = document.path.stem == BASELINE or method.family == "baseline"
    if is_baseline and method.terms:
        raise BadInput(f"{document.at(('terms',))}: the baseline is the student alone and has no terms")
    if not is_baseline and not method.terms:
        raise BadInput(f"{document.at(('terms',))}: found []: expected a term; only the baseline has none")


def resolve_method(path: Path, dataset: str, positions: int) -> ResolvedMethod:
    """The method as it runs on a data set whose crops have so many logit positions."""
    document, method = _read(path)
    terms = tuple(_resolve_term(document, index, term, dataset, positions) for index, term in enumerate(method.terms))
    digest = method_digest(method.group, terms)
    return ResolvedMethod(
        name=path.stem, title=method.title, family=method.family, group=method.group, terms=terms, digest=digest
    )


def must_be_as_planned(method: ResolvedMethod) -> None:
    """BadInput when the Python behind a method is no longer what its digest was taken of."""
    try:
        found = method_digest(method.group, method.terms)
    except OSError as error:
        raise BadInput(f"{method.name}: {error.filename}: cannot be read: {error.strerror}") from error
    if found != method.digest:
        raise BadInput(f"{method.name}: its Python, or harness/distill, has changed since it was planned: plan anew")


def method_digest(group: int | None, terms: tuple[ResolvedTerm, ...]) -> str:
    """Changes with anything that changes what the method computes: its terms, their Python, the source of distill/."""
    files = {path.resolve() for path in (*(Path(term.file) for term in terms), *DISTILL.rglob("*.py"))}
    # By name, not by path: the same method has one digest wherever it is installed.
    code = sorted((path.name, path.read_bytes()) for path in files)
    settled = [term.model_dump_json(exclude={"file"}) + Path(term.file).name for term in terms]
    return sha256(str(group), *settled, *(content for _, content in code))[:16]


def _resolve_term(document: Document, index: int, term: Term, dataset: str, positions: int) -> ResolvedTerm:
    file, function = _loss_source(document.path, term.loss)
    taps = _taps(term)
    weight, source = _weight(document, index, term, dataset, positions)
    return ResolvedTerm(
        name=f"{function}@{taps[0].student}",
        file=str(file.resolve()),
        function=function,
        taps=taps,
        listed=isinstance(term.at, tuple),
        weight=weight,
        source=source,
        settings=term.settings,
        optional=term.optional,
    )


def _taps(term: Term) -> tuple[Tap, ...]:
    if isinstance(term.at, Tap):
        return (term.at,)
    stages = term.at if isinstance(term.at, tuple) else (term.at,)
    return tuple(Tap(student=stage, teacher=stage) for stage in stages)


def _weight(document: Document, index: int, term: Term, dataset: str, positions: int) -> tuple[float, Source]:
    """The term's weight on a data set, with where it comes from."""
    if dataset in term.weight:
        return term.weight[dataset], _source(term, dataset)
    if term.transfer is not None:
        ratio = positions / term.transfer.positions
        factor = ratio if term.transfer.scales_with == "N" else 1 / ratio
        return term.weight[term.transfer.origin] * factor, "transferred"
    if "default" in term.weight:
        return term.weight["default"], _source(term, "default")
    where, close = document.at(("terms", index, "weight")), nearest(dataset, term.weight)
    raise BadInput(f"{where}: no weight for {dataset!r}{close} and no default: add one of the two")


def _source(term: Term, key: str) -> Source:
    return term.source if isinstance(term.source, str) else term.source[key]


def _loss_source(path: Path, loss: str) -> tuple[Path, str]:
    """The file and the name of a loss: a shared word, or `file.py:name` beside the descriptor or shipped."""
    if ":" not in loss:
        return SHARED_LOSSES, loss
    file, _, function = loss.partition(":")
    beside = path.parent / file
    return (beside if beside.exists() else SHIPPED / file), function


def _check_term(document: Document, index: int, term: Term) -> None:
    """BadInput unless the term's parts fit each other and its loss is there and takes the settings that are given."""
    if term.at == ():
        raise BadInput(f"{document.at(('terms', index, 'at'))}: found []: expected a stage")
    if term.transfer is not None and term.transfer.origin not in term.weight:
        where, origin = document.at(("terms", index, "transfer", "origin")), term.transfer.origin
        raise BadInput(f"{where}: no weight for {origin!r}{nearest(origin, term.weight)}")
    _check_sources(document, index, term)
    _check_loss(document, index, term)


def _check_sources(document: Document, index: int, term: Term) -> None:
    """BadInput unless a table of sources has the keys of the table of weights."""
    if isinstance(term.source, str):
        return
    for key in term.source:
        if key not in term.weight:
            where = document.at(("terms", index, "source", key))
            raise BadInput(f"{where}: there is no weight for {key!r}{nearest(key, term.weight)}")
    for key in term.weight:
        if key not in term.source:
            where = document.at(("terms", index, "source"))
            raise BadInput(f"{where}: does not say where the weight for {key!r} comes from")


def _check_loss(document: Document, index: int, term: Term) -> None:
    """BadInput unless the loss exists at its file's top level and takes the settings that are given."""
    where = document.at(("terms", index, "loss"))
    name, colon, _ = term.loss.partition(":")
    if colon and not PYTHON_FILE.fullmatch(name):
        raise BadInput(
            f"{where}: found {name!r}: expected a .py file that lies beside the descriptor or ships with bench"
        )
    file, function = _loss_source(document.path, term.loss)
    losses = _losses(file, where)
    if function not in losses:
        kind = f"{file.name} has no" if colon else "no shared loss"
        raise BadInput(f"{where}: {kind} {function!r}{nearest(function, losses)}")
    known = _settings(losses[function])
    for setting in term.settings:
        if setting not in known:
            at, takes = document.at(("terms", index, "with", setting)), ", ".join(known) or "none"
            raise BadInput(f"{at}: {function!r} has no such setting{nearest(setting, known)}: it takes {takes}")
    for setting in _required(losses[function]):
        if setting not in term.settings:
            raise BadInput(f"{document.at(('terms', index, 'with', setting))}: missing: {function!r} needs it")


def loss_signatures(file: Path, where: str) -> Mapping[str, tuple[str, ...]]:
    """The public functions and classes of a Python file with the settings each takes, by reading it alone."""
    return {name: _settings(function) for name, function in _losses(file, where).items()}


def _losses(file: Path, where: str) -> Mapping[str, ast.FunctionDef | None]:
    """The public functions of a Python file, and the constructors of its public classes, None where one has no own."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{where}: {file}: cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise BadInput(f"{where}: {file}:{line}: not Python: {getattr(error, 'msg', None) or error}") from error
    except (RecursionError, MemoryError) as error:
        raise BadInput(f"{where}: {file}: not Python: nested too deeply") from error
    found: dict[str, ast.FunctionDef | None] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            makers = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
            found[node.name] = makers[0] if makers else None
        elif isinstance(node, ast.FunctionDef):
            found[node.name] = node
    return {name: function for name, function in found.items() if not name.startswith("_")}


def _settings(function: ast.FunctionDef | None) -> tuple[str, ...]:
    """The keyword-only arguments that a descriptor may set: all but those that the engine gives."""
    named = function.args.kwonlyargs if function else []
    return tuple(argument.arg for argument in named if argument.arg not in GIVEN)


def _required(function: ast.FunctionDef | None) -> tuple[str, ...]:
    """The settings without a default."""
    if function is None:
        return ()
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return tuple(argument.arg for argument, default in pairs if default is None and argument.arg not in GIVEN)


def student_alone() -> ResolvedMethod:
    """The baseline, as every profile builds it beside its method."""
    return ResolvedMethod(name=BASELINE, title="", family="baseline", group=None, terms=(), digest="")
