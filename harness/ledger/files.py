"""Values that cross a file: frozen, strict, written whole or not at all."""

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from harness.ledger.errors import BadInput


class Value(BaseModel):
    """A frozen value that accepts exactly its fields, without coercion, NaN or infinity."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


V = TypeVar("V", bound=Value)


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces `path` in one step: a reader sees the old file or the new one, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write(path: Path, value: Value) -> None:
    """Writes the value as indented JSON, atomically."""
    write_bytes(path, value.model_dump_json(indent=1, by_alias=True).encode() + b"\n")


def read(path: Path, model: type[V]) -> V:
    """The value in a JSON file, or BadInput naming the file, the key and what was wrong with it."""
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
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
    """The SHA-256 of a file's bytes, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
