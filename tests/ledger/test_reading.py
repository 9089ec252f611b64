"""One safe YAML reader; every message is read aloud."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field

from harness.ledger.errors import BadInput
from harness.ledger.files import Value
from harness.ledger.reading import parse, read_yaml


class Circle(Value):
    shape: Literal["circle"]
    radius: Annotated[float, Field(gt=0)]


class Square(Value):
    shape: Literal["square"]
    side: float


class Pair(Value):
    left: Literal["low", "high"]
    right: Literal["low", "high"]


class Drawing(Value):
    title: str
    count: int = 1
    scale: float = 1.0
    bright: bool = False
    size: tuple[float, float, float] = (0.0, 0.0, 0.0)
    figure: Annotated[Circle | Square, Field(discriminator="shape")] | None = None
    at: Literal["low", "high"] | tuple[Literal["low", "high"], ...] | Pair = "low"
    options: dict[str, bool | int | float | str | tuple[int, ...] | tuple[float, ...]] = Field(
        default_factory=dict, alias="with"
    )


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "drawing.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def data(write):
    return lambda text: read_yaml(write(text)).data


@pytest.fixture
def complaint(write, tmp_path: Path):
    """What a person is told about a file, without the folder that it lies in."""

    def complaint(text: str | bytes) -> str:
        with pytest.raises(BadInput) as caught:
            parse(read_yaml(write(text)), Drawing)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return complaint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-5", 2e-5),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-7", -7),
        ("+7", 7),
        ("007", 7),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("no", "no"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("1:30", "1:30"),
        ("2026-11-22", "2026-11-22"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("nan", "nan"),
        ("=", "="),
        ("'2e-5'", "2e-5"),
        ('"true"', "true"),
        ('"null"', "null"),
    ],
)
def test_a_scalar_is_read_by_yaml_1_2(data, text, value):
    """Numbers with an exponent are numbers, `no` and `on` are words, and what is in quotes is text."""
    found = data(f"key: {text}\n")["key"]
    assert (found, type(found)) == (value, type(value))


def test_an_empty_value_is_null(data):
    """A key with nothing after it holds null."""
    assert data("key:\n") == {"key": None}


def test_a_merge_key_is_a_key_like_any_other(data):
    """`<<` merges nothing."""
    assert data("<<: {a: 1}\nb: 2\n") == {"<<": {"a": 1}, "b": 2}


def test_a_key_is_text_whatever_it_looks_like(data):
    """`1` and `true` as keys stay words."""
    assert data("1: a\ntrue: b\n") == {"1": "a", "true": "b"}


def test_a_byte_order_mark_and_windows_line_ends_are_nothing(data):
    """A file from another system reads the same."""
    assert data(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}


def test_every_key_and_item_knows_its_line(write):
    """`lines` has a line for each place in the file."""
    document = read_yaml(write("# a comment\ntitle: t\nterms:\n  - loss: kl\n    at: logits\n  - loss: mse\n"))
    assert dict(document.lines) == {
        (): 2,
        ("title",): 2,
        ("terms",): 3,
        ("terms", 0): 4,
        ("terms", 0, "loss"): 4,
        ("terms", 0, "at"): 5,
        ("terms", 1): 6,
        ("terms", 1, "loss"): 6,
    }


def test_what_is_missing_has_the_line_of_its_nearest_parent(write):
    """`at` climbs until it finds something that stands in the file."""
    path = write("title: t\nterms:\n  - loss: kl\n")
    assert read_yaml(path).at(("terms", 0, "with", "temperature")) == f"{path}:3: terms[0].with.temperature"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "drawing.yaml: the file is empty"),
        ("# only a comment\n", "drawing.yaml: the file is empty"),
        (b"title: t\ncount: \xff\n", "drawing.yaml:2: cannot be read: not UTF-8 text"),
        ("title: t\x00\n", "drawing.yaml: not YAML: unacceptable character #x0000: special characters are not allowed"),
        (
            "title: [a\ncount: 1\n",
            "drawing.yaml:2: not YAML: while parsing a flow sequence, expected ',' or ']', but got ':'",
        ),
        (
            "title: t\n\tcount: 1\n",
            "drawing.yaml:2: not YAML: while scanning for the next token, "
            "found character '\\t' that cannot start any token",
        ),
        (
            "title: t\n---\ntitle: u\n",
            "drawing.yaml:2: not YAML: expected a single document in the stream, but found another document",
        ),
        ('title: "\\UFFFFFFFF"\n', "drawing.yaml: not YAML: a number in a directive or an escape is out of range"),
        ('title: "\\U00110000"\n', "drawing.yaml: not YAML: a number in a directive or an escape is out of range"),
        (
            f"%YAML 1.{'9' * 5000}\n---\n",
            "drawing.yaml: not YAML: a number in a directive or an escape is out of range",
        ),
        ("title: t\ntitle: u\n", "drawing.yaml:2: title: written twice"),
        ("title: t\nwith: {a: 1,\n  a: 2}\n", "drawing.yaml:3: with.a: written twice"),
        ("title: &a t\nat: *a\n", "drawing.yaml:2: aliases (*a) are not allowed; write it out"),
        ("title: *nowhere\n", "drawing.yaml:1: aliases (*nowhere) are not allowed; write it out"),
        ("title: &a [*a]\n", "drawing.yaml:1: aliases (*a) are not allowed; write it out"),
        (
            "title: t\nwith: !!python/object/apply:os.system [id]\n",
            "drawing.yaml:2: tag:yaml.org,2002:python/object/apply:os.system is not allowed: "
            "YAML here holds data, never constructors",
        ),
        (
            "title: !mine t\n",
            "drawing.yaml:1: !mine is not allowed: YAML here holds data, never constructors",
        ),
        (
            "!!python/name:os.system : t\n",
            "drawing.yaml:1: tag:yaml.org,2002:python/name:os.system is not allowed: "
            "YAML here holds data, never constructors",
        ),
        ("? [a, b]\n: t\n", "drawing.yaml:1: found a list or a mapping as a key: expected text"),
        ("title: t\nscale: 1e999\n", 'drawing.yaml:2: scale: "1e999" is too large a number'),
        (
            "title: t\ncount: 1234567890123456789\n",
            'drawing.yaml:2: count: "1234567890123456789" is too large a number',
        ),
        ('title: t\nat: "\\ud800"\n', 'drawing.yaml:2: "\\ud800" is no text: half of a surrogate pair'),
        ('title: t\n"\\udc00": 1\n', 'drawing.yaml:2: "\\udc00" is no text: half of a surrogate pair'),
    ],
)
def test_what_is_no_data_is_told_with_its_line(complaint, text, message):
    """Broken YAML, constructors, aliases, duplicate keys and numbers that no computer holds."""
    assert complaint(text) == message


def test_a_file_that_is_not_there_is_named(tmp_path):
    """No traceback for a mistyped path."""
    with pytest.raises(BadInput) as caught:
        read_yaml(tmp_path / "none.yaml")
    assert str(caught.value) == f"{tmp_path}/none.yaml: cannot be read: No such file or directory"


def test_a_folder_is_no_file(tmp_path):
    """A path to a folder is told as such."""
    with pytest.raises(BadInput) as caught:
        read_yaml(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


BOMBS = ["[" * 60_000, "{a: " * 5_000, "- " * 5_000, "? " * 5_000, "title: " + "[" * 40 + "]" * 40]


@pytest.mark.parametrize("bomb", BOMBS, ids=["lists", "mappings", "items", "keys", "closed"])
def test_deep_nesting_is_refused_before_it_is_followed(complaint, bomb):
    """A file of brackets costs a line, not the stack."""
    assert complaint(bomb) == "drawing.yaml:1: nested more than 32 levels deep"


def test_a_number_of_sixty_thousand_digits_is_refused(complaint):
    """Python's own limit on digits is never met."""
    message = complaint(f"title: t\ncount: {'9' * 60_000}\n")
    assert message == f'drawing.yaml:2: count: "{"9" * 58}… is too large a number'


def test_a_bomb_of_aliases_is_refused_at_its_first(complaint):
    """Ten levels of ten copies each never unfold."""
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert complaint(f"l0: &l0 [x]\n{levels}") == "drawing.yaml:2: aliases (*l0) are not allowed; write it out"


def test_whole_numbers_pass_for_fractions_and_lists_for_tuples(write):
    """Strict where it matters: YAML cannot say 3.0 where a person writes 3, nor a tuple."""
    drawing = parse(read_yaml(write("title: t\nscale: 3\nsize: [1, 2.5, 3]\nat: [low, high]\n")), Drawing)
    assert (drawing.scale, drawing.size, drawing.at) == (3.0, (1.0, 2.5, 3.0), ("low", "high"))


@pytest.mark.parametrize(
    ("options", "value"),
    [("4", 4), ("4.0", 4.0), ("true", True), ("warm", "warm"), ("[1, 2]", (1, 2)), ("[1, 2.5]", (1.0, 2.5))],
)
def test_a_setting_keeps_the_type_it_was_written_in(write, options, value):
    """`true` stays a truth, 4 a whole number, a list becomes a tuple."""
    found = parse(read_yaml(write(f"title: t\nwith: {{option: {options}}}\n")), Drawing).options["option"]
    assert (found, type(found)) == (value, type(value))


STAGE = "expected 'low' or 'high'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", 'drawing.yaml:1: found ["a"]: expected a mapping'),
        ("count: 1\n", "drawing.yaml:1: title: missing"),
        ("title:\n", "drawing.yaml:1: title: found null: expected text, in quotes"),
        ("title: 2011.13256\n", "drawing.yaml:1: title: found 2011.13256: expected text, in quotes"),
        ("title: [a]\n", 'drawing.yaml:1: title: found ["a"]: expected text'),
        ("title: t\ncount: 1.5\n", "drawing.yaml:2: count: found 1.5: expected a whole number"),
        ("title: t\ncount: many\n", 'drawing.yaml:2: count: found "many": expected a whole number'),
        ("title: t\ncount: true\n", "drawing.yaml:2: count: found true: expected a whole number"),
        ("title: t\nscale: .nan\n", 'drawing.yaml:2: scale: found ".nan": expected a number'),
        ("title: t\nbright: yes\n", 'drawing.yaml:2: bright: found "yes": expected true or false'),
        ("title: t\nbright: 1\n", "drawing.yaml:2: bright: found 1: expected true or false"),
        ("title: t\nsize: 3\n", "drawing.yaml:2: size: found 3: expected a list"),
        ("title: t\nsize: [1, 2]\n", "drawing.yaml:2: size[2]: missing"),
        ("title: t\nsize: [1, 2, 3, 4]\n", "drawing.yaml:2: size: found [1, 2, 3, 4]: expected at most 3 items"),
        ("title: t\nsize:\n- 1\n- x\n- 3\n", 'drawing.yaml:4: size[1]: found "x": expected a number'),
    ],
)
def test_a_wrong_value_is_told_with_what_was_expected(complaint, text, message):
    """File, line, key, what stands there, what should."""
    assert complaint(text) == message


KNOWN = "known are title, count, scale, bright, size, figure, at, with"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: t\ncuont: 2\n", f"drawing.yaml:2: cuont: unknown key (did you mean 'count'?): {KNOWN}"),
        ("titel: t\n", f"drawing.yaml:1: titel: unknown key (did you mean 'title'?): {KNOWN}"),
        ("title: t\nxyz: 2\n", f"drawing.yaml:2: xyz: unknown key: {KNOWN}"),
        ("title: t\noptions: {}\n", f"drawing.yaml:2: options: unknown key: {KNOWN}"),
        ('title: t\n"a\\nb": 2\n', f'drawing.yaml:2: "a\\nb": unknown key: {KNOWN}'),
        (
            "title: t\nfigure: {shape: circle, raduis: 1}\n",
            "drawing.yaml:2: figure.raduis: unknown key (did you mean 'radius'?): known are shape, radius",
        ),
        (
            "title: t\nat: {lft: low, right: high}\n",
            "drawing.yaml:2: at.lft: unknown key (did you mean 'left'?): known are left, right",
        ),
        (
            "title: t\nfigure: {shape: circle, radius: 1, side: 2}\n",
            "drawing.yaml:2: figure.side: unknown key: known are shape, radius",
        ),
    ],
)
def test_an_unknown_key_is_told_with_those_that_stand_beside_it(complaint, text, message):
    """The nearest name is of the same mapping; a misspelt key is told before the one that is missing for it."""
    assert complaint(text) == message


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ("{radius: 1}", "drawing.yaml:3: figure.shape: missing"),
        (
            "{shape: circel, radius: 1}",
            "drawing.yaml:3: figure.shape: found \"circel\": expected 'circle' or 'square' (did you mean 'circle'?)",
        ),
        ("{shape: 3}", "drawing.yaml:3: figure.shape: found 3: expected 'circle' or 'square'"),
        ("{shape: circle}", "drawing.yaml:3: figure.radius: missing"),
        ("{shape: circle, radius: -1}", "drawing.yaml:3: figure.radius: found -1: expected more than 0"),
        ("circle", 'drawing.yaml:3: figure: found "circle": expected a mapping'),
    ],
)
def test_a_union_told_apart_by_a_key_never_shows_in_a_location(complaint, figure, message):
    """`figure.radius`, not `figure.circle.radius`."""
    assert complaint(f"title: t\n\nfigure: {figure}\n") == message


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("hihg", f"at: found \"hihg\": {STAGE}, a list or a mapping (did you mean 'high'?)"),
        ("3", f"at: found 3: {STAGE}, a list or a mapping"),
        ("[low, hihg]", f"at[1]: found \"hihg\": {STAGE} (did you mean 'high'?)"),
        ("[low, [high]]", f'at[1]: found ["high"]: {STAGE}'),
        ("{left: low}", "at.right: missing"),
        ("{left: low, right: middle}", f'at.right: found "middle": {STAGE}'),
        ("{left: low, right: [high]}", f'at.right: found ["high"]: {STAGE}'),
    ],
)
def test_a_union_is_judged_by_the_branch_that_came_nearest(complaint, at, message):
    """A list is measured against the list, a mapping against the mapping; pydantic's names of branches stay inside."""
    assert complaint(f"title: t\n\nat: {at}\n") == f"drawing.yaml:3: {message}"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("null", "with.a: found null: expected true or false, a whole number, a number, text or a list"),
        ("{b: 1}", "with.a: found a mapping: expected true or false, a whole number, a number, text or a list"),
        ("[1, 2.5, b]", 'with.a[2]: found "b": expected a number'),
        ("[b]", 'with.a[0]: found "b": expected a whole number or a number'),
    ],
)
def test_a_setting_is_a_scalar_or_a_list_of_numbers(complaint, option, message):
    """What else stands there is told with all that could."""
    assert complaint(f"title: t\nwith: {{a: {option}}}\n") == f"drawing.yaml:2: {message}"


def test_a_long_value_is_cut(complaint):
    """A message stays a line that fits a terminal."""
    message = complaint(f"title: t\ncount: {'x' * 500}\n")
    assert message == f'drawing.yaml:2: count: found "{"x" * 58}…: expected a whole number'


@pytest.mark.parametrize("end", ["\\n", "\\L", "\\P", "\\N", "\\r"])
def test_a_line_end_inside_a_value_never_breaks_a_message(complaint, end):
    """Unicode has five more line ends than one thinks of."""
    message = complaint(f'title: t\ncount: "a{end}b"\n"c{end}d": 1\n')
    assert len(message.splitlines()) == 1


def fault(read: Callable[[], object]) -> str:
    """What a person is told, or nothing when all is well; any other exception is the test's failure."""
    try:
        read()
    except BadInput as error:
        return str(error)
    return ""


ANYTHING = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="abt:- \n\t[]{},&*!|>'\"%@`#?\\Ux0u1e.~<=", max_size=120),
    st.lists(
        st.sampled_from(["title", "at", "with", ": ", "\n", "  ", "- ", "[", "]", "{", "}", "low", "1e9", "~"])
    ).map("".join),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=ANYTHING)
def test_arbitrary_text_is_read_or_is_bad_input_of_one_line(tmp_path, text):
    """Nothing but BadInput ever comes out of the reader."""
    path = tmp_path / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="ignore")
    said = fault(lambda: parse(read_yaml(path), Drawing))
    assert not said or (said.startswith(str(path)) and len(said.splitlines()) == 1)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=100))
def test_arbitrary_bytes_are_read_or_are_bad_input(tmp_path, content):
    """Also what is no text at all."""
    path = tmp_path / "any.yaml"
    path.write_bytes(content)
    assert len(fault(lambda: read_yaml(path)).splitlines()) <= 1


KEYS = st.text(alphabet="abcdefgh_", min_size=1, max_size=6)
NUMBERS = st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
TREES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(alphabet="abc é:#-\n'\"", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_json_is_read_as_the_data_that_it_says(tmp_path, tree):
    """Every JSON document is YAML 1.2, and comes back the same."""
    path = tmp_path / "tree.yaml"
    path.write_text(json.dumps(tree, ensure_ascii=False), encoding="utf-8")
    assert read_yaml(path).data == tree


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES, key=st.sampled_from(["title", "count", "size", "figure", "at", "with", "other"]))
def test_any_tree_in_any_place_is_a_value_or_bad_input_of_one_line(tmp_path, tree, key):
    """Whatever fits no model is told, with its line, and in no words of pydantic's."""
    path = tmp_path / "tree.yaml"
    path.write_text(json.dumps({"title": "t"} | {key: tree}), encoding="utf-8")
    said = fault(lambda: parse(read_yaml(path), Drawing))
    assert not said or (said.startswith(f"{path}:1: ") and len(said.splitlines()) == 1)
    assert not any(word in said for word in ("Input should", "literal[", "tuple[", "Field required"))


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_reads_back(number, tmp_path_factory):
    """As Python writes it."""
    path = tmp_path_factory.getbasetemp() / "number.yaml"
    path.write_text(f"- {number!r}\n")
    [found] = read_yaml(path).data
    assert math.isclose(found, number, rel_tol=0, abs_tol=0)
