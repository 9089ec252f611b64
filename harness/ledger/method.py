"""A method as engines and plans see it: its losses, taps and weights on one workload, all settled."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from harness.ledger.files import FileName, FilePath, Value

Family = Literal["baseline", "canonical", "general", "segmentation"]
Source = Literal["authors", "reimplementation", "transferred", "ours"]
Stage = Literal[
    "stage1",
    "stage2",
    "stage3",
    "stage4",
    "decoded",
    "decoded_dropped",
    "logits",
    "aux_logits",
    "embedding1",
    "embedding2",
    "embedding3",
    "embedding4",
]
Adapter = Literal["conv1x1", "conv1x1_without_bias"]
Setting = bool | int | float | str | tuple[int, ...] | tuple[float, ...]
Weight = Annotated[float, Field(ge=0)]


class Tap(Value):
    """A stage of the student against a stage of the teacher, perhaps through an adapter to the teacher's width."""

    student: Stage
    teacher: Stage
    adapter: Adapter | None = None
    optional: bool = False
    """Left out, and said so, where a network has no such stage."""


class Transfer(Value):
    """How a weight moves to a data set without a setting of its own, so that its term keeps its share of the gradient.

    N is the positions of the stage that the term taps, C the teacher's channels there, B the images that the loss is
    taken over; what the rule names is given as it was where the weight comes from.
    """

    origin: str
    scales_with: Literal["N", "1/N", "1/C", "1/(C·N)", "C/N", "B"]
    positions: PositiveInt | None = None
    channels: PositiveInt | None = None
    batch: PositiveInt | None = None

    @model_validator(mode="after")
    def _says_what_it_scales_with(self) -> Self:
        for letter, field in (("N", "positions"), ("C", "channels"), ("B", "batch")):
            if letter in self.scales_with and getattr(self, field) is None:
                raise ValueError(f"scales_with {self.scales_with} needs {field}: what it was at the origin")
        return self

    def factor(self, positions: int, channels: int, batch: int) -> float:
        """The weight here over the weight at the origin."""
        ratios = {
            "N": positions / (self.positions or 1),
            "C": channels / (self.channels or 1),
            "B": batch / (self.batch or 1),
        }
        above, _, below = self.scales_with.partition("/")
        times = math.prod(ratio for letter, ratio in ratios.items() if letter in above)
        return times / math.prod(ratio for letter, ratio in ratios.items() if letter in below)


class ResolvedPart(Value):
    """One part's weight on one data set."""

    name: str
    weight: Weight
    source: Source
    transfer: Transfer | None = None
    """Set where the weight is that of another data set, which the engine scales."""


class ResolvedTerm(Value):
    """A term with its file, its taps and its weight on one workload settled."""

    name: str
    file: FilePath
    function: str
    taps: tuple[Tap, ...]
    listed: bool
    """Whether the loss is given tuples, one tensor a tap."""
    weight: Weight
    """1 where the parts have weights of their own."""
    source: Source
    transfer: Transfer | None = None
    parts: tuple[ResolvedPart, ...] = ()
    settings: dict[str, Setting]
    group: PositiveInt | None = None

    @property
    def stage(self) -> str:
        """The student's stage that names the term."""
        return self.name.rpartition("@")[2]

    @property
    def weights(self) -> tuple[ResolvedPart, ...]:
        """What it adds to the objective: its parts, or the whole."""
        whole = ResolvedPart(name=self.function, weight=self.weight, source=self.source, transfer=self.transfer)
        return self.parts or (whole,)

    @property
    def is_active(self) -> bool:
        """Whether anything of it weighs more than 0."""
        return any(part.weight > 0 for part in self.weights)


class ResolvedMethod(Value):
    """What an engine needs to run a method on one workload."""

    name: FileName
    title: str
    family: Family
    variant_of: str | None = None
    """The method of which it is another form; null also in records that do not say."""
    preparation_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    terms: tuple[ResolvedTerm, ...]
    digest: str

    @model_validator(mode="before")
    @classmethod
    def _read_rules_version_1(cls, data: object) -> object:
        """A group stood at the method and `optional` at the term before each moved to where it belongs."""
        if not isinstance(data, dict) or "group" not in data:
            return _tuples(data)
        terms = data.get("terms")
        moved = [_moved(term, data["group"]) for term in terms] if isinstance(terms, (list, tuple)) else terms
        return _tuples({key: value for key, value in data.items() if key != "group"} | {"terms": moved})

    @property
    def distils(self) -> bool:
        """Whether any term has a weight."""
        return any(term.is_active for term in self.terms)


def _moved(term: object, group: object) -> object:
    """A term of rules version 1 as it is written now; what is no such term is left for validation to refuse."""
    if not isinstance(term, dict) or not isinstance(term.get("taps"), (list, tuple)):
        return term
    optional = term.get("optional", False)
    taps = [{**tap, "optional": optional} if isinstance(tap, dict) else tap for tap in term["taps"]]
    return {key: value for key, value in term.items() if key != "optional"} | {"group": group, "taps": taps}


def _tuples(data: object) -> object:
    """Every list in it a tuple: what a validator has seen counts as Python's, of which strictness takes no list."""
    if isinstance(data, dict):
        return {key: _tuples(value) for key, value in data.items()}
    return tuple(_tuples(value) for value in data) if isinstance(data, (list, tuple)) else data


BASELINE = "baseline"


def student_alone() -> ResolvedMethod:
    """The baseline, as every profile builds it beside its method."""
    return ResolvedMethod(name=BASELINE, title="", family="baseline", terms=(), digest="")
