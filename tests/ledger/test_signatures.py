"""What a Python file of losses offers, by its source alone."""

import pytest

from harness.ledger.errors import BadInput
from harness.ledger.signatures import Parameter, closure, loss_signatures, parse_python


def test_settings_are_those_of_public_names(folder):
    """A class has its constructor's; what the engine gives is no setting, and what begins with _ no loss."""
    found = {name: signature.names for name, signature in loss_signatures(folder / "mine.py", "here").items()}
    assert found == {
        "warm": ("temperature", "sizes", "shares", "norm", "deep", "kernel", "free"),
        "needy": ("temperature",),
        "halves": (),
        "Bank": ("size",),
        "Bare": (),
    }


def test_what_the_engine_gives_is_kept_apart(folder):
    """By the names that a loss asks for."""
    found = loss_signatures(folder / "mine.py", "here")
    assert found["needy"].given == {"draw", "student_channels", "teacher_channels", "group"}
    assert found["Bank"].given == {"student_channels", "parts", "classes"}


def test_a_loss_that_asks_for_parts_has_parts(folder):
    """A function or a class."""
    found = loss_signatures(folder / "mine.py", "here")
    assert [name for name, signature in found.items() if signature.has_parts] == ["halves", "Bank"]


def test_a_setting_without_a_default_is_required(folder):
    """Its annotation, where there is one, is kept as it is written."""
    found = loss_signatures(folder / "mine.py", "here")
    assert found["needy"].settings == (Parameter("temperature", "", required=True),)
    assert found["Bank"].settings == (Parameter("size", "int", required=False),)


@pytest.mark.parametrize(
    ("annotation", "value", "taken"),
    [
        ("bool", True, True),
        ("bool", 1, False),
        ("int", 4, True),
        ("int", 4.0, False),
        ("int", True, False),
        ("float", 4, True),
        ("float", 2e-5, True),
        ("float", "2e-5", False),
        ("float", False, False),
        ("str", "warm", True),
        ("str", 4, False),
        ("tuple[int, ...]", (1, 2), True),
        ("tuple[int, ...]", (), True),
        ("tuple[int, ...]", (1.0, 2.0), False),
        ("tuple[int, ...]", 1, False),
        ("tuple[float, ...]", (1, 2), True),
        ("tuple[float, ...]", (0.5, 2.0), True),
        ("tuple[float, ...]", 0.5, False),
        ("", 4, True),
        ("float | None", "warm", True),
    ],
)
def test_a_plain_annotation_is_held_to(annotation, value, taken):
    """A whole number passes for a fraction, a truth for no number; other annotations are the engine's business."""
    assert Parameter("setting", annotation, required=False).takes(value) is taken


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def warm(:\n", "here: mine.py:1: not Python: invalid syntax"),
        ("a = 1\n\nb = = 2\n", "here: mine.py:3: not Python: invalid syntax"),
        ("a = 1\x00\n", "here: mine.py:1: not Python: source code string cannot contain null bytes"),
        ("x = " + "(" * 300 + "\n", "here: mine.py:1: not Python: too many nested parentheses"),
        ("x = " + "-" * 100_000 + "1\n", "here: mine.py: not Python: nested too deeply"),
    ],
    ids=["syntax", "third line", "null", "parentheses", "minuses"],
)
def test_a_file_that_is_no_python_is_told(folder, source, message):
    """With its own line, and without a traceback."""
    (folder / "mine.py").write_text(source)
    with pytest.raises(BadInput) as caught:
        parse_python(folder / "mine.py", "here")
    assert str(caught.value).replace(f"{folder}/", "") == message


def test_a_file_that_is_no_text_is_told(folder):
    """Bytes that are no UTF-8."""
    (folder / "mine.py").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match=r"^here: .*mine\.py:1: not Python: "):
        parse_python(folder / "mine.py", "here")


@pytest.fixture
def shipped(tmp_path):
    """A chain of methods: a uses b, b uses c; d uses nobody."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "a.py").write_text("from methods.b import one\nfrom harness.distill import losses\nimport torch\n")
    (folder / "b.py").write_text("def one():\n    from methods import c\n")
    (folder / "c.py").write_text("import methods.a\nfrom methods.gone import nothing\nfrom . import d\n")
    (folder / "d.py").write_text("")
    return folder


def test_the_closure_follows_imports_of_methods_and_no_others(shipped):
    """Through functions, around circles, and past what is not there."""
    assert {path.name for path in closure([shipped / "a.py"], shipped)} == {"a.py", "b.py", "c.py"}
    assert {path.name for path in closure([shipped / "d.py"], shipped)} == {"d.py"}


def test_the_closure_of_a_file_of_ones_own_reaches_what_ships(shipped, folder):
    """`from methods.b import …` beside one's own descriptor."""
    (folder / "own.py").write_text("from methods.b import one\n")
    assert {path.name for path in closure([folder / "own.py"], shipped)} == {"own.py", "b.py", "c.py", "a.py"}
