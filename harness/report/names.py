"""Names as figures show them: they come out of strangers' records."""

MOST_LETTERS = 22
MOST_METHODS = 80
"""With a row each: a figure of thousands could be neither read nor drawn."""


def shown(name: str, most: int = MOST_LETTERS) -> str:
    """As much of a name as has room, in characters that every font has."""
    plain = "".join(each if each.isascii() and each.isprintable() else "?" for each in name)
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def letters(name: str) -> float:
    """How many letters of middling width are as wide as the name: an `m` or a `W` takes the room of two."""
    return len(name) + 0.75 * sum(each in "mwMW@%…" for each in name)


def without_room(methods: int) -> str:
    """A sentence for a caption; nothing where every method has a row."""
    return f" Without room here: {methods} more, of lower mIoU." if methods else ""
