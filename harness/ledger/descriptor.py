"""A method's descriptor: a YAML file, and the Python that it names, read without running any of it."""

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from harness.ledger.errors import BadInput, nearest
from harness.ledger.files import Value, sha256, shown
from harness.ledger.method import (
    BASELINE,
    Family,
    ResolvedMethod,
    ResolvedPart,
    ResolvedTerm,
    Setting,
    Source,
    Stage,
    Tap,
    Transfer,
    Weight,
)
from harness.ledger.reading import Document, parse, read_yaml
from harness.ledger.signatures import Signature, closure, loss_signatures

Key = tuple[int | str, ...]


class Paper(Value):
    """Where the method was published."""

    arxiv: str | None = None
    venue: str | None = None
    title: str | None = None


class Reference(Value):
    """The released code that a method answers to."""

    repo: str
    commit: str


class Weighted(Value):
    """What a loss, or one part of it, weighs on which data set, and who says so."""

    weight: dict[str, Weight]
    source: Source | dict[str, Source]
    transfer: Transfer | None = None


class Term(Value):
    """One loss with its weight, or with a weight for each part of what it returns, as its descriptor states it."""

    loss: str
    at: Stage | Tap | tuple[Stage | Tap, ...]
    weight: dict[str, Weight] | None = None
    source: Source | dict[str, Source] | None = None
    transfer: Transfer | None = None
    parts: dict[str, Weighted] = Field(default_factory=dict)
    settings: dict[str, Setting] = Field(default_factory=dict, alias="with")
    group: PositiveInt | dict[str, PositiveInt] | None = None
    """The images that the authors had on one device, for a loss that couples images; perhaps a table by data set."""


class Preparation(Value):
    """What a method learns before it distils."""

    share: Annotated[float, Field(gt=0, lt=1)]
    """Of the budget."""


class Method(Value):
    """A descriptor."""

    title: str
    family: Family
    variant_of: str | None = None
    """The method of which this is another form; variants are no part of `all`."""
    paper: Paper | None = None
    reference: Reference | None = None
    preparation: Preparation | None = None
    terms: tuple[Term, ...]
    notes: str


SHIPPED = Path(str(resources.files("methods")))
DISTILL = Path(str(resources.files("harness"))) / "distill"
SHARED_LOSSES = DISTILL / "losses.py"
NAME = re.compile(r"[a-z0-9_]+")
PYTHON_FILE = re.compile(r"\w[\w.-]*\.py", re.ASCII)


def shipped_methods() -> tuple[str, ...]:
    """Every descriptor that ships: the baseline first, then the alphabet."""
    names = sorted(path.stem for path in SHIPPED.glob("*.yaml"))
    return tuple(sorted(names, key=lambda name: (name != BASELINE, name)))


def all_methods() -> tuple[str, ...]:
    """The names that `--methods all` stands for: what ships, without the variants."""
    return tuple(name for name in shipped_methods() if read_method(method_path(name)).variant_of is None)


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
        close = nearest(path.stem, [re.sub(r"[^a-z0-9_]", "_", path.stem.lower())])
        raise BadInput(f"{path}: a method's name is its file's, of a-z, 0-9 and _{close}")
    document = read_yaml(path)
    method = parse(document, Method)
    for index, term in enumerate(method.terms):
        _check_term(document, index, term)
    _check_family(document, method)
    _check_variant(document, method)
    _check_something_weighs(document, method)
    return document, method


def _check_family(document: Document, method: Method) -> None:
    """BadInput unless exactly the baseline is without terms."""
    is_baseline = document.path.stem == BASELINE or method.family == "baseline"
    if is_baseline and method.terms:
        raise BadInput(f"{document.at(('terms',))}: the baseline is the student alone and has no terms")
    if is_baseline and method.preparation:
        raise BadInput(f"{document.at(('preparation',))}: the baseline has no terms, and nothing to prepare")
    if not is_baseline and not method.terms:
        raise BadInput(f"{document.at(('terms',))}: found []: expected a term; only the baseline has none")


def _check_something_weighs(document: Document, method: Method) -> None:
    """BadInput when every weight is 0 on every data set: that is the baseline under another name."""
    weights = [
        (key, weighted) for index, term in enumerate(method.terms) for key, _, weighted in _weighted(index, term)
    ]
    if weights and not any(weight for _, weighted in weights for weight in weighted.weight.values()):
        where = document.at((*weights[0][0], "weight"))
        raise BadInput(f"{where}: every weight of the method is 0: a term that weighs nothing is left out")


def _check_variant(document: Document, method: Method) -> None:
    """BadInput when a variant is of nothing that ships."""
    known = [name for name in shipped_methods() if name != document.path.stem]
    if method.variant_of is not None and method.variant_of not in known:
        close = nearest(method.variant_of, known)
        raise BadInput(f"{document.at(('variant_of',))}: no method {method.variant_of!r}{close}")


def resolve_method(path: Path, dataset: str, batch: int) -> ResolvedMethod:
    """The method as it runs on a data set with so many images an iteration."""
    document, method = _read(path)
    terms = tuple(_resolve_term(document, index, term, dataset, batch) for index, term in enumerate(method.terms))
    share = method.preparation.share if method.preparation else 0.0
    return ResolvedMethod(
        name=path.stem,
        title=method.title,
        family=method.family,
        variant_of=method.variant_of,
        preparation_share=share,
        terms=terms,
        digest=method_digest(share, terms),
    )


def scaled(method: ResolvedMethod, factor: float) -> ResolvedMethod:
    """The same method with every weight times a factor, under a name that says so."""
    if factor == 1:
        return method
    terms = tuple(_scaled(term, factor) for term in method.terms)
    digest = method_digest(method.preparation_share, terms)
    return method.model_copy(update={"name": f"{method.name}_x{factor:.3g}", "terms": terms, "digest": digest})


def _scaled(term: ResolvedTerm, factor: float) -> ResolvedTerm:
    if not term.parts:
        return term.model_copy(update={"weight": term.weight * factor, "source": "ours"})
    parts = tuple(part.model_copy(update={"weight": part.weight * factor, "source": "ours"}) for part in term.parts)
    return term.model_copy(update={"parts": parts, "source": "ours"})


def must_be_as_planned(method: ResolvedMethod) -> None:
    """BadInput when the Python behind a method is no longer what its digest was taken of."""
    try:
        found = method_digest(method.preparation_share, method.terms)
    except OSError as error:
        raise BadInput(f"{method.name}: {error.filename}: cannot be read: {error.strerror}") from error
    if found != method.digest:
        raise BadInput(f"{method.name}: its Python, or harness/distill, has changed since it was planned: plan anew")


def method_digest(preparation_share: float, terms: tuple[ResolvedTerm, ...]) -> str:
    """Changes with anything that changes what the method computes: its terms, their Python, the source of distill/."""
    files = closure((Path(term.file) for term in terms), SHIPPED) | {path.resolve() for path in DISTILL.rglob("*.py")}
    # By name, not by path: the same method has one digest wherever it is installed.
    code = sorted((path.name, path.read_bytes()) for path in files)
    settled = [term.model_dump_json(exclude={"file"}) + Path(term.file).name for term in terms]
    return sha256(str(preparation_share), *settled, *(content for _, content in code))[:16]


def _resolve_term(document: Document, index: int, term: Term, dataset: str, batch: int) -> ResolvedTerm:
    file, function = loss_source(document.path, term.loss)
    taps = _taps(term)
    group, is_theirs = _group(document, index, term, dataset, batch)
    weights = tuple(
        _resolve_weight(document, key, name or function, weighted, dataset, is_theirs)
        for key, name, weighted in _weighted(index, term)
    )
    whole = None if term.parts else weights[0]
    return ResolvedTerm(
        # An optional stage may be left out: the name is that of one that is always there.
        name=f"{function}@{next((tap for tap in taps if not tap.optional), taps[0]).student}",
        file=str(file.resolve()),
        function=function,
        taps=taps,
        listed=isinstance(term.at, tuple),
        weight=whole.weight if whole else 1.0,
        source=weights[0].source,
        transfer=whole.transfer if whole else None,
        parts=weights if term.parts else (),
        settings=term.settings,
        group=group,
    )


def _taps(term: Term) -> tuple[Tap, ...]:
    places = term.at if isinstance(term.at, tuple) else (term.at,)
    return tuple(place if isinstance(place, Tap) else Tap(student=place, teacher=place) for place in places)


def _weighted(index: int, term: Term) -> list[tuple[Key, str, Weighted]]:
    """Where in the file each weight stands, the part that it belongs to, and what is said of it."""
    if term.parts:
        return [(("terms", index, "parts", name), name, weighted) for name, weighted in term.parts.items()]
    # `_check_weights_stand` has seen to it that both are there.
    whole = Weighted(weight=term.weight or {}, source=term.source or "ours", transfer=term.transfer)
    return [(("terms", index), "", whole)]


def _group(document: Document, index: int, term: Term, dataset: str, batch: int) -> tuple[int | None, bool]:
    """The images that the loss is taken over at a time, and whether the authors had as many."""
    if term.group is None:
        return None, True
    if isinstance(term.group, int):
        theirs = term.group
    else:
        key = dataset if dataset in term.group else "default"
        if key not in term.group:
            where = document.at(("terms", index, "group"))
            close = nearest(dataset, term.group)
            raise BadInput(f"{where}: no group for {dataset!r}{close} and no default: add one of the two")
        theirs = term.group[key]
    fitting = max(size for size in range(1, min(theirs, batch) + 1) if batch % size == 0)
    return fitting, fitting == theirs


def _resolve_weight(
    document: Document, key: Key, name: str, weighted: Weighted, dataset: str, is_theirs: bool
) -> ResolvedPart:
    """A weight on a data set, with where it comes from; in another group than the authors' theirs is transferred."""
    table, transfer = weighted.weight, weighted.transfer
    if dataset in table:
        source = _source(weighted, dataset)
        if is_theirs:
            return ResolvedPart(name=name, weight=table[dataset], source=source)
        scaled_by_group = transfer if transfer and transfer.scales_with == "B" else None
        return ResolvedPart(name=name, weight=table[dataset], source=_moved(source), transfer=scaled_by_group)
    if transfer is not None:
        source = _source(weighted, transfer.origin)
        return ResolvedPart(name=name, weight=table[transfer.origin], source=_moved(source), transfer=transfer)
    if "default" in table:
        source = _source(weighted, "default")
        return ResolvedPart(name=name, weight=table["default"], source=source if is_theirs else _moved(source))
    where, close = document.at((*key, "weight")), nearest(dataset, table)
    raise BadInput(f"{where}: no weight for {dataset!r}{close} and no default: add one of the two")


def _moved(source: Source) -> Source:
    """Where a weight comes from once it is used elsewhere: one of ours is ours everywhere."""
    return "ours" if source == "ours" else "transferred"


def _source(weighted: Weighted, key: str) -> Source:
    return weighted.source if isinstance(weighted.source, str) else weighted.source[key]


def loss_source(path: Path, loss: str) -> tuple[Path, str]:
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
    _check_weights_stand(document, index, term)
    for key, _, weighted in _weighted(index, term):
        _check_weighted(document, key, weighted)
    _check_loss(document, index, term)


def _check_weights_stand(document: Document, index: int, term: Term) -> None:
    """BadInput unless the term has either a weight with its source or parts that have them."""
    for field in ("weight", "source", "transfer"):
        given = getattr(term, field) is not None
        if given and term.parts:
            where = document.at(("terms", index, field))
            raise BadInput(f"{where}: the term has parts, which have weights and sources of their own: leave it out")
        if not given and not term.parts and field != "transfer":
            either = "a term has a weight with its source, or parts that have theirs"
            raise BadInput(f"{document.at(('terms', index, field))}: missing: {either}")


def _check_weighted(document: Document, key: Key, weighted: Weighted) -> None:
    """BadInput unless there is a weight, its transfer has an origin, and the table of sources has the weights' keys."""
    if not weighted.weight:
        raise BadInput(f"{document.at((*key, 'weight'))}: found {{}}: expected a weight for a data set, or a default")
    if weighted.transfer is not None and weighted.transfer.origin not in weighted.weight:
        where, origin = document.at((*key, "transfer", "origin")), weighted.transfer.origin
        raise BadInput(f"{where}: no weight for {origin!r}{nearest(origin, weighted.weight)}")
    if isinstance(weighted.source, str):
        return
    for name in weighted.source:
        if name not in weighted.weight:
            where = document.at((*key, "source", name))
            raise BadInput(f"{where}: there is no weight for {name!r}{nearest(name, weighted.weight)}")
    for name in weighted.weight:
        if name not in weighted.source:
            where = document.at((*key, "source"))
            raise BadInput(f"{where}: does not say where the weight for {name!r} comes from")


def _check_loss(document: Document, index: int, term: Term) -> None:
    """BadInput unless the loss exists at its file's top level and takes the settings that are given."""
    where = document.at(("terms", index, "loss"))
    name, colon, _ = term.loss.partition(":")
    if colon and not PYTHON_FILE.fullmatch(name):
        raise BadInput(
            f"{where}: found {name!r}: expected a .py file that lies beside the descriptor or ships with bench"
        )
    file, function = loss_source(document.path, term.loss)
    if not file.exists():
        close = nearest(
            name, sorted(path.name for folder in (document.path.parent, SHIPPED) for path in folder.glob("*.py"))
        )
        raise BadInput(f"{where}: no file {name!r}{close}, neither beside the descriptor nor shipped with bench")
    losses = loss_signatures(file, where)
    if function not in losses:
        kind = f"{file.name} has no" if colon else "no shared loss"
        raise BadInput(f"{where}: {kind} {function!r}{nearest(function, losses)}")
    if bool(term.parts) != losses[function].has_parts:
        takes = (
            "returns parts: give each a weight under `parts`" if not term.parts else "has no parts: give it a weight"
        )
        raise BadInput(f"{where}: {function!r} {takes}")
    _check_settings(document, index, function, losses[function], term.settings)


def _check_settings(
    document: Document, index: int, function: str, signature: Signature, settings: Mapping[str, Setting]
) -> None:
    """BadInput unless the settings are those of the loss, each of its kind, and none that it needs is missing."""
    parameters = {parameter.name: parameter for parameter in signature.settings}
    for name, value in settings.items():
        at = document.at(("terms", index, "with", name))
        if name not in parameters:
            takes = ", ".join(parameters) or "none"
            raise BadInput(f"{at}: {function!r} has no such setting{nearest(name, parameters)}: it takes {takes}")
        if not parameters[name].takes(value):
            raise BadInput(f"{at}: found {shown(value)}: {function!r} expects {parameters[name].expected}")
    for parameter in signature.settings:
        if parameter.required and parameter.name not in settings:
            where = document.at(("terms", index, "with", parameter.name))
            raise BadInput(f"{where}: missing: {function!r} needs it")
