"""A figure as files and as parts that the page can name."""

import io
import re
from contextlib import AbstractContextManager

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from harness.report.picture import INK, MUTED, RULE, Part

SETTINGS = {
    "svg.fonttype": "none",  # text stays text: small files, searchable, the page's own fonts
    "svg.hashsalt": "segkd-bench",  # the same ids at every build
    "path.simplify": True,
    "text.hinting": "none",  # a tenth of the time that a PNG takes
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "lines.solid_capstyle": "butt",
    "lines.dash_capstyle": "butt",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}
PNG_DPI = 150
FONTS = "DejaVu Sans, sans-serif"
OWN_FONT = " font-family: 'DejaVu Sans';"
"""Said once a file, where the page can say otherwise."""
TAG, BETWEEN = re.compile(r"<[a-z][^>]*>"), re.compile(r">\s+<")
LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
UPRIGHT = re.compile(r' transform="rotate\(-?0 [^"]*"')
DRAWN, STYLED = re.compile(r' d="([^"]*)"'), re.compile(r' style="[^"]*"')
STEP = re.compile(r"([MLCQz])([^MLCQz]*)")
SMALL = 10.0
MARKER = re.compile(r'(<use [^>]*"#m[^>]*?);stroke:[^"]*')
"""What matplotlib says of a marker twice, the second time to no effect."""
LONE = re.compile(r"<g>\n(<use [^>]*>)\n</g>")


class Parts:
    """Gives artists their names while a figure is drawn."""

    def __init__(self) -> None:
        self.found: list[Part] = []

    def name(self, artist: Artist, method: str | None, text: str) -> int:
        """The artist is a part from now on; returns its place among them."""
        artist.set_gid(f"part-{len(self.found)}")
        self.found.append(Part(method, text))
        return len(self.found) - 1


def as_svg(figure: Figure) -> str:
    """The figure's SVG, an element a line, with one or two decimals: a hundredth of a point is not to be seen."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    lines = BETWEEN.sub(">\n<", text.getvalue()).replace("<svg ", f'<svg font-family="{FONTS}" ', 1)
    return LONE.sub(r"\1", MARKER.sub(r"\1", TAG.sub(lambda tag: _shortened(tag[0]), lines)))


def _shortened(tag: str) -> str:
    """Names of strangers stand between tags, so that they are left as they are."""
    if tag.startswith("<text"):
        tag = UPRIGHT.sub("", tag).replace(OWN_FONT, "")
    tag = LONG_NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), tag)
    return STYLED.sub(lambda style: style[0].replace("; ", ";").replace(": ", ":"), DRAWN.sub(_path, tag))


def _path(data: re.Match[str]) -> str:
    """The same path in fewer letters: to a point beside or above the last one it goes level or upright."""
    shorter = ""
    last: tuple[str, ...] = ()
    for code, numbers in STEP.findall(data[1]):
        point = tuple(map(_rounded, numbers.split()))
        if code == "L" and point[0] == last[0]:
            shorter += f"V{point[1]}"
        elif code == "L" and point[1] == last[1]:
            shorter += f"H{point[0]}"
        else:
            shorter += code + " ".join(point)
        last = point[-2:]
    return f' d="{shorter}"'


def _rounded(number: str) -> str:
    """A tenth of a point is enough where the numbers are not those of a marker, which are small."""
    value = float(number)
    return f"{value:.{1 if abs(value) >= SMALL else 2}f}".rstrip("0").rstrip(".")


def as_png(figure: Figure) -> bytes:
    """The figure's PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=PNG_DPI, metadata={"Software": None}, pil_kwargs={"compress_level": 3})
    return content.getvalue()


def settings() -> AbstractContextManager[None]:
    """Within it every figure looks like the others, whatever a `matplotlibrc` says that lies where we are started."""
    return mpl.rc_context({**mpl.rcParamsDefault, **SETTINGS})  # type: ignore[dict-item]  # its stubs list every key
