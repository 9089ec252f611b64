"""How numbers read on the page and in Markdown: as many digits as they deserve, none that rounds into a lie."""

from collections.abc import Iterable

from harness.score.stats import Estimate, Interval

NONE = "–"
MINUS = "−"
MOST_DIGITS = 6


def decimals(estimates: Iterable[Estimate | None]) -> int:
    """Digits after the point for a column of percentages: two when its narrowest interval is under ± 0.25, else one."""
    halves = [estimate.interval.half for estimate in estimates if estimate and estimate.interval]
    return 2 if halves and 100 * min(halves) < 0.25 else 1


def percent(fraction: float | None, digits: int) -> str:
    """`79.0` for 0.79; what is not exactly 0 or 100 never reads so: it gets more digits, at the end a `<` or `>`."""
    if fraction is None:
        return NONE
    value = 100 * fraction
    for more in range(digits, MOST_DIGITS + 1):
        text = f"{value:.{more}f}"
        if float(text) not in (0.0, 100.0) or float(text) == value:
            return _signed(text)
    return f"{'<' if value < float(text) else '>'}{abs(float(text)):.{digits}f}"


def points(difference: float | None, digits: int) -> str:
    """`+1.3`, in percentage points; one that rounds to nothing has no sign."""
    if difference is None:
        return NONE
    text = f"{100 * difference:+.{digits}f}"
    return _signed(text) if float(text) else text.lstrip("+-")


def half_width(estimate: Estimate | None, digits: int) -> str:
    """`± 0.3` in percentage points, `± <0.01` when it would round to nothing, or nothing without an interval."""
    if estimate is None or estimate.interval is None:
        return ""
    half = 100 * estimate.interval.half
    text = f"{half:.{digits}f}"
    least = f"{10**-digits:.{digits}f}"
    return f"± <{least}" if half > 0 and float(text) == 0 else f"± {text}"


def ratio(value: float | None) -> str:
    """`2.31` times the baseline's."""
    return NONE if value is None else f"{value:.2f}"


def ratio_range(interval: Interval | None) -> str:
    """`(2.29–2.33)`."""
    return f"({ratio(interval.low)}–{ratio(interval.high)})" if interval else ""


def count(value: float | None) -> str:
    """`40 000`, with thin spaces that do not break."""
    return NONE if value is None else f"{value:,.0f}".replace(",", "\u202f")


def epochs(value: float | None) -> str:
    """Two figures or whole numbers."""
    if value is None:
        return NONE
    return count(value) if value >= 10 else f"{value:.2g}"


def hours(value: float | None) -> str:
    """Three significant figures: `8.00`, `0.0250`."""
    if value is None:
        return NONE
    if value >= 100:
        return count(value)
    return f"{value:#.3g}".rstrip(".") if value else "0"


def duration(seconds: float | None) -> str:
    """`90 s`, `45 min`, `8 h`, `2.5 d`."""
    if seconds is None:
        return NONE
    for size, unit in ((172_800, "d"), (3600, "h"), (180, "min")):
        if seconds >= size:
            return f"{seconds / {'d': 86_400, 'h': 3600, 'min': 60}[unit]:.3g} {unit}"
    return f"{seconds:.3g} s"


def _signed(text: str) -> str:
    return text.replace("-", MINUS)
