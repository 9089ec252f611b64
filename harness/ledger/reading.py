"""One safe YAML reader for descriptors and workloads: data only, and every error knows its line.

YAML 1.2 booleans and numbers (`2e-5` is a number, `no` is a string), no aliases, no tags, no duplicate keys.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.ledger.errors import BadInput, nearest
from harness.ledger.files import Value, complaint, expected, key_path, read_bytes, shown

Key = tuple[int | str, ...]
V = TypeVar("V", bound=Value)

NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
BOOLEAN = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
INTEGER = re.compile(r"^[-+]?[0-9]+$")
NUMBER = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")

LIMITS = frozenset(("greater_than", "greater_than_equal", "less_than", "less_than_equal"))
"""pydantic's types of fault for a value of the right type."""

LONGEST_TEXT = 2**16
"""Bytes of a file that people write: ten times what the longest has."""
DEEPEST = 32
"""Levels of nesting that a file may have; the deepest descriptor needs six."""
LONGEST_INTEGER = 18
"""Digits: any number of so many fits 64 bits."""


@dataclass(frozen=True)
class Document:
    """A YAML file as plain data, with the line on which each of its keys and items stands."""

    path: Path
    data: object
    lines: Mapping[Key, int]

    def at(self, key: Key) -> str:
        """`methods/cwd.yaml:7: terms[0].loss` for a key, or for its nearest parent that stands in the file."""
        known = key
        while known not in self.lines:
            known = known[:-1]
        name = key_path(key)
        return f"{self.path}:{self.lines[known]}" + (f": {name}" if name else "")


def read_yaml(path: Path) -> Document:
    """The file's data, or BadInput that names the line."""
    try:
        found = read_bytes(path, LONGEST_TEXT)
        text = found.decode()
    except UnicodeDecodeError as error:
        line = found.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path}:{line}: cannot be read: not UTF-8 text") from error
    except ValueError as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error
    try:
        # Before composing, which follows aliases and calls itself once a level.
        _refuse_what_is_no_data(text, path)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise BadInput(f"{path}:{line}: not YAML: {said}") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{path}: not YAML: {str(error).splitlines()[0]}") from error
    except (ValueError, OverflowError) as error:
        # PyYAML hands some numbers to int() and chr() as they are: `%YAML 1.999…`, `"\UFFFFFFFF"`.
        raise BadInput(f"{path}: not YAML: a number in a directive or an escape is out of range") from error
    if root is None:
        raise BadInput(f"{path}: the file is empty")
    lines: dict[Key, int] = {}
    data = _plain(root, (), path, lines)
    return Document(path, data, lines)


def _refuse_what_is_no_data(text: str, path: Path) -> None:
    """BadInput for an alias, a tag, or nesting that no descriptor needs."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise BadInput(f"{path}:{line}: aliases (*{event.anchor}) are not allowed; write it out")
        written_tag = getattr(event, "tag", None)
        if written_tag is not None:
            tag = shown(written_tag).strip('"')
            raise BadInput(f"{path}:{line}: {tag} is not allowed: YAML here holds data, never constructors")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise BadInput(f"{path}:{line}: nested more than {DEEPEST} levels deep")


def _plain(node: yaml.Node, key: Key, path: Path, lines: dict[Key, int]) -> object:
    """The node as plain data; fills in `lines`."""
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*key, index), path, lines) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, object] = {}
        for name_node, value_node in node.value:
            name = _name(name_node, path)
            if name in found:
                raise BadInput(f"{path}:{name_node.start_mark.line + 1}: {key_path((*key, name))}: written twice")
            lines[(*key, name)] = name_node.start_mark.line + 1
            found[name] = _plain(value_node, (*key, name), path, lines)
        return found
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, key, path)
    raise AssertionError(f"a node is a list, a mapping or a scalar, not {node!r}")


def _name(node: yaml.Node, path: Path) -> str:
    """A mapping's key, as text."""
    if not isinstance(node, yaml.ScalarNode):
        raise BadInput(f"{path}:{node.start_mark.line + 1}: found a list or a mapping as a key: expected text")
    return _text(node, path)


def _text(node: yaml.ScalarNode, path: Path) -> str:
    text = str(node.value)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise BadInput(f"{path}:{node.start_mark.line + 1}: {shown(text)} is no text: half of a surrogate pair")
    if "\0" in text:  # which ends a file's name for the system, and for nobody else
        raise BadInput(f"{path}:{node.start_mark.line + 1}: {shown(text)} is no text: a NUL")
    return text


def _scalar(node: yaml.ScalarNode, key: Key, path: Path) -> object:
    """A scalar by YAML 1.2's core rules: only a plain one can be anything but text."""
    text = _text(node, path)
    if node.style is not None:
        return text
    if NULL.match(text):
        return None
    if BOOLEAN.match(text):
        return text.lower() == "true"
    if NUMBER.match(text):
        number = int(text) if INTEGER.match(text) and len(text.lstrip("+-")) <= LONGEST_INTEGER else float(text)
        if not math.isfinite(number) or (INTEGER.match(text) and isinstance(number, float)):
            where = ": ".join(filter(None, (f"{path}:{node.start_mark.line + 1}", key_path(key))))
            raise BadInput(f"{where}: {shown(text)} is too large a number")
        return number
    return text


def parse(document: Document, model: type[V]) -> V:
    """The document as a value of `model`, or BadInput for its first fault."""
    try:
        # Through JSON, so that strictness forgives what YAML cannot say: tuples, and 3 for 3.0.
        return model.model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        faults = [_Fault.of(details, document.data) for details in error.errors(include_url=False)]
        raise BadInput(_message(document, model, _gravest(faults))) from error


@dataclass(frozen=True)
class _Fault:
    """What pydantic holds against the file, with its place in the file."""

    key: Key
    branches: tuple[tuple[Key, str], ...]
    """Where the file could have been one of several things, and which of them was tried; the outermost first."""
    details: ErrorDetails

    @staticmethod
    def of(details: ErrorDetails, data: object) -> "_Fault":
        """The location without the parts that name a branch of a union, which are no keys of the file."""
        key: Key = ()
        branches: tuple[tuple[Key, str], ...] = ()
        for index, part in enumerate(details["loc"]):
            is_last = index == len(details["loc"]) - 1
            is_item = isinstance(data, list) and isinstance(part, int) and part < len(data)
            if is_item or (isinstance(data, dict) and part in data):
                data = data[part]  # type: ignore[index]
                key += (part,)
            elif is_last and details["type"] == "missing":
                key += (part,)
            else:
                branches += ((key, str(part)),)
        return _Fault(key, branches, details)


def _gravest(faults: Sequence[_Fault], level: int = 0) -> Sequence[_Fault]:
    """The first fault; where a union has one a branch, those of the branches that came nearest to fitting."""
    first = faults[0]
    if len(first.branches) <= level:
        return [_telling(faults)]
    rivals: dict[str, list[_Fault]] = {}
    for fault in faults:
        if len(fault.branches) > level and fault.branches[level][0] == first.branches[level][0]:
            rivals.setdefault(fault.branches[level][1], []).append(fault)
    reach = {name: _reach(own) for name, own in rivals.items()}
    nearest_fit = [
        fault
        for name, own in rivals.items()
        if reach[name] == min(reach.values())
        for fault in _gravest(own, level + 1)
    ]
    return [fault for fault in nearest_fit if fault.key == nearest_fit[0].key]


def _reach(faults: Sequence[_Fault]) -> tuple[int, int, bool]:
    """Small where a branch came near: deep into the file, few faults, the right type if not the right value."""
    is_only_out_of_range = all(fault.details["type"] in LIMITS for fault in faults)
    return -max(len(fault.key) for fault in faults), len(faults), not is_only_out_of_range


def _telling(faults: Sequence[_Fault]) -> _Fault:
    """The first fault; but a misspelt key before the missing one that it was meant to be."""
    first = faults[0]
    if first.details["type"] == "missing":
        for fault in faults:
            if fault.details["type"] == "extra_forbidden" and fault.key[:-1] == first.key[:-1]:
                return fault
    return first


def _message(document: Document, model: type[BaseModel], faults: Sequence[_Fault]) -> str:
    """One line: where, what was found, what was expected, the nearest valid name."""
    fault, details = faults[0], faults[0].details
    where = document.at(fault.key)
    if details["type"] == "extra_forbidden":
        known = _fields_beside(model, document.data, fault)
        return f"{where}: unknown key{nearest(str(fault.key[-1]), known)}: known are {', '.join(known)}"
    if details["type"].startswith("union_tag_"):
        tag = str(details["ctx"]["discriminator"]).strip("'")
        where = document.at((*fault.key, tag))
        if details["type"] == "union_tag_not_found":
            return f"{where}: missing"
        details["input"] = details["input"][tag]
    if details["type"] == "value_error":
        # A model's own words on fields that do not fit each other; what was found is a whole mapping.
        return f"{where}: {details['msg'].removeprefix('Value error, ')}"
    wanted = list(dict.fromkeys(expected(rival.details) for rival in faults))
    if "" in wanted or details["type"] == "missing":
        return f"{where}: {complaint(details)}"
    if wanted == ["text"] and not isinstance(details["input"], (dict, list)):
        wanted = ["text, in quotes"]
    found = details["input"]
    if isinstance(found, str) and NUMBER.match(found) and wanted[0] in ("a number", "a whole number"):
        wanted[0] += " without quotes"
    close = nearest(found, re.findall(r"'([^']*)'", " ".join(wanted))) if isinstance(found, str) else ""
    return f"{where}: found {shown(found)}: expected {_listed(wanted)}{close}"


def _listed(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    if len(words) == 1:
        return words[0]
    comma = "," if len(words) == 2 and " or " in words[0] else ""
    return f"{', '.join(words[:-1])}{comma} or {words[-1]}"


def _fields_beside(model: type[BaseModel], data: object, fault: _Fault) -> Sequence[str]:
    """The field names of the model that stands there; of several that might, the one that the keys there fit best."""
    key, tried = fault.key, dict(fault.branches)
    for part in key[:-1]:
        data = data[part]  # type: ignore[index]
    beside = set(data) if isinstance(data, dict) else set()

    def fit(names: Sequence[str]) -> tuple[int, bool]:
        return len(beside.intersection(names)), nearest(str(key[-1]), names) != ""

    places: list[object] = [model]
    for depth, part in enumerate(key[:-1], start=1):
        places = [inner for place in places for inner in _inside(place, part)]
        places = [place for place in places if _is_called(place, tried.get(key[:depth]))] or places
    models = [place for place in places if _is_model(place)]
    return max((_names(place) for place in models), key=fit)  # type: ignore[arg-type]


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_called(annotation: object, branch: str | None) -> bool:
    """Whether pydantic's name of a branch means this model: its own, or a value that tells it apart from others."""
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return False
    told_apart = (get_args(field.annotation) for field in annotation.model_fields.values())
    return branch == annotation.__name__ or any(branch in values for values in told_apart)


def _names(model: type[BaseModel]) -> Sequence[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _inside(annotation: object, part: int | str) -> list[object]:
    """What may stand under a key or at an index of something of that type, unions taken apart."""
    arguments: Sequence[object] = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        arguments = [
            field.annotation for name, field in annotation.model_fields.items() if (field.alias or name) == part
        ]
    elif get_origin(annotation) is dict:
        arguments = arguments[1:]
    elif isinstance(part, str):
        return []
    return [each for argument in arguments for each in _alternatives(argument)]


def _alternatives(annotation: object) -> list[object]:
    """The types of a union, or the one type."""
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [each for argument in get_args(annotation) for each in _alternatives(argument)]
    return [annotation]
