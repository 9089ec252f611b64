"""What a term must know of the two networks before any image has passed: widths and sizes of their stages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.ledger.method import Tap
from harness.segmentation.staged import Staged

Size = tuple[int, ...]
"""(h, w), or (N,) of token embeddings."""


@dataclass(frozen=True)
class Side:
    """One network's stages."""

    channels: Mapping[str, int]
    sizes: Mapping[str, Size]

    def positions(self, stage: str) -> int:
        """How many positions a stage has in one image."""
        positions = 1
        for length in self.sizes[stage]:
            positions *= length
        return positions


@dataclass(frozen=True)
class Sides:
    """Student and teacher, for images of one size."""

    student: Side
    teacher: Side
    classes: int

    @staticmethod
    def of(
        student: Staged,
        teacher: Staged,
        crop: tuple[int, int],
        wanted: Iterable[tuple[frozenset[str], frozenset[str]]],
    ) -> "Sides":
        """The two networks' wanted stages; a stage that no term wants has no size here."""
        pairs = list(wanted)
        ours = frozenset[str]().union(*(pair[0] for pair in pairs))
        theirs = frozenset[str]().union(*(pair[1] for pair in pairs))
        return Sides(
            Side(student.channels, student.sizes(crop, ours) if ours else {}),
            Side(teacher.channels, teacher.sizes(crop, theirs) if theirs else {}),
            student.channels.get("logits", 0),
        )

    def asked(self, taps: tuple[Tap, ...], listed: bool) -> dict[str, object]:
        """What a loss is told when it asks: values of its one tap, tuples for a list of them."""
        widths = tuple(
            self.teacher.channels[tap.teacher] if tap.adapter else self.student.channels[tap.student] for tap in taps
        )
        told: dict[str, tuple[object, ...]] = {
            "student_channels": widths,
            "teacher_channels": tuple(self.teacher.channels.get(tap.teacher) for tap in taps),
            "student_size": tuple(self.student.sizes[tap.student] for tap in taps),
            "teacher_size": tuple(self.teacher.sizes.get(tap.teacher) for tap in taps),
        }
        return {name: values if listed else values[0] for name, values in told.items()} | {"classes": self.classes}
