"""Values that cross a file: frozen, strict, written whole or not at all."""

import hashlib
import json
import os
import re
import stat
import tempfile
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from harness.ledger.errors import BadInput


class Value(BaseModel):
    """A frozen value that accepts exactly its fields, without coercion, NaN or infinity."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


V = TypeVar("V", bound=Value)

FileName = Annotated[str, Field(pattern=r"^[^/\x00]+$")]
"""What files and folders are called by: it leads to none that lies elsewhere."""

FilePath = Annotated[str, Field(pattern=r"^[^\x00]+$")]
"""Where a file or a folder lies on some machine; the system would take a NUL for its end."""

LARGEST = 2**24
"""Bytes of a .json: a hundred times what a long run leaves."""

BYTES_A_VALUE = 32
"""What is written takes more. A value that does not fit takes kilobytes while it is refused: `{}` lacks every key."""

MOST_FAULTS = 1000


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replaces `path` in one step: a reader sees the old file or the new one, never a half.

    What is durable outlives a node that dies right after: its name never stands for less than the whole content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        _settle(path.parent)


def _settle(folder: Path) -> None:
    """The names in a folder outlive its node; not every file system can do that, and the files are whole without."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write(path: Path, value: Value, *, durable: bool = False) -> None:
    """Writes the value as indented JSON, atomically."""
    write_bytes(path, value.model_dump_json(indent=1, by_alias=True).encode() + b"\n", durable=durable)


def opened(path: Path) -> BufferedReader:
    """A plain file, to be read; BadInput for a pipe, which would block, or a device, which may never end."""
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  # the caller's `with`
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise BadInput(f"{path}: is no plain file")


def _without_waiting(path: str, flags: int) -> int:
    """Opening a pipe waits for someone who writes into it, unless one says otherwise."""
    return os.open(path, flags | os.O_NONBLOCK)


def read_bytes(path: Path, most: int) -> bytes:
    """The bytes of a plain file; BadInput for one of more than `most`, of which no more than that is read."""
    try:
        with opened(path) as file:
            found = file.read(min(most, os.fstat(file.fileno()).st_size) + 1)
            size = max(len(found), os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    if size > most:
        raise BadInput(f"{path}: found {size:,} bytes: expected at most {most:,}")
    return found


def read(path: Path, model: type[V], most: int = LARGEST) -> V:
    """The value in a JSON file of at most so many bytes, or BadInput naming the file, the key and what was wrong."""
    found = read_bytes(path, most)
    if sum(map(found.count, (b"{", b"[", b","))) > most // BYTES_A_VALUE:
        raise BadInput(f"{path}: found more than {most // BYTES_A_VALUE:,} values: expected {model.__name__}")
    try:
        return model.model_validate_json(found)
    except ValidationError as error:
        if error.error_count() > MOST_FAULTS:  # each would be told, and take a kilobyte
            raise BadInput(f"{path}: found {error.error_count():,} faults: expected {model.__name__}") from error
        first = error.errors(include_url=False)[0]
        raise BadInput(f"{path}: {key_path(first['loc']) or 'file'}: {complaint(first)}") from error


def key_path(location: tuple[int | str, ...]) -> str:
    """`terms[0].weight` for ('terms', 0, 'weight'); a key that is no plain word is quoted and so stays on one line."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if PLAIN.match(part) else shown(part)
            text += f".{word}" if text else word
    return text


PLAIN = re.compile(r"^[\w-]+\Z")
LONGEST_SHOWN = 60
EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a mapping",
    "string_type": "text",
    "tuple_type": "a list",
}
"""What pydantic's types of fault ask for, in the words of a person who writes YAML."""
PATTERNS = {
    r"^[^\x00]+$": "a path without NUL",
    r"^[^/\x00]+$": "a name without / or NUL",
    "^[0-9]+(_[0-9]+)?$": "a job's number, as 12 or 12_3",
    "^[0-9a-f]{64}$": "64 lower-case hexadecimal digits",
    "^[0-9a-f]{8,64}$": "8 to 64 lower-case hexadecimal digits",
    "^[a-z0-9_]+$": "lower-case letters, digits and _",
}
"""The same of the patterns that the ledger's types have."""


def expected(fault: ErrorDetails) -> str:
    """What should have stood where the fault is."""
    limits = fault.get("ctx", {})
    match fault["type"]:
        case "literal_error" | "enum":
            return str(limits["expected"])
        case "union_tag_invalid":
            return re.sub(r", ([^,]+)$", r" or \1", str(limits["expected_tags"]))
        case "greater_than":
            return f"more than {limits['gt']:g}"
        case "greater_than_equal":
            return f"at least {limits['ge']:g}"
        case "less_than":
            return f"less than {limits['lt']:g}"
        case "less_than_equal":
            return f"at most {limits['le']:g}"
        case "too_long":
            return f"at most {limits['max_length']} items"
        case "too_short":
            return f"at least {limits['min_length']} items"
        case "string_pattern_mismatch":
            return PATTERNS.get(limits["pattern"], "")
    return EXPECTED.get(fault["type"], "")


def complaint(fault: ErrorDetails) -> str:
    """What was found and what was expected, on one line."""
    if fault["type"] == "missing":
        return "missing"
    if fault["type"] == "extra_forbidden":
        return "unknown key"
    if fault["type"] == "json_invalid":
        return f"not JSON: {fault['msg'].removeprefix('Invalid JSON: ')}"
    wanted = expected(fault)
    said = f"expected {wanted}" if wanted else fault["msg"].removeprefix("Value error, ")
    return f"found {shown(fault['input'])}: {said}"


def shown(value: object) -> str:
    """A found value, short and on one line."""
    if isinstance(value, dict):
        return "a mapping"
    text = json.dumps(value, ensure_ascii=False, default=str)
    # Some of Unicode's line ends pass JSON as they are.
    text = text if text.isprintable() else json.dumps(value, default=str)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def sha256(*parts: str | bytes) -> str:
    """The SHA-256 of the parts, each prefixed with its length so that no two lists of parts collide."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()


def sha256_of(content: bytes) -> str:
    """The SHA-256 of bytes, as `sha256sum` prints it."""
    return hashlib.sha256(content).hexdigest()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a plain file's bytes, as `sha256sum` prints it."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
