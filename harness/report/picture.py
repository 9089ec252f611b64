"""A figure as files and as parts that the page can name; drawing one is elsewhere, so that none is loaded for it."""

from dataclasses import dataclass

INK, MUTED, RULE, BAND, PAPER = "#1b1f24", "#67707b", "#d3d7dc", "#f4f5f7", "#ffffff"


@dataclass(frozen=True)
class Part:
    """A part of a figure that has a name: an element of the SVG whose id is `part-N`, N its place among the parts."""

    method: str | None
    """Whose it is, so that it is hidden and singled out with it; None of what belongs to no method."""
    text: str
    """What it says when it is pointed at: the values that it stands for."""


@dataclass(frozen=True)
class Picture:
    """A figure."""

    name: str
    """Of its files, without ending: a-z, 0-9 and hyphens."""
    title: str
    caption: str
    svg: str
    png: bytes
    parts: tuple[Part, ...] = ()
    live: dict[str, object] | None = None
    """What the page's script needs to change it; plain JSON."""
