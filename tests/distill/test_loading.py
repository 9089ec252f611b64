"""From a resolved term to its Python."""

from pathlib import Path

import pytest
import torch
from torch import nn

from harness.distill.loading import load
from harness.ledger.descriptor import method_path, resolve_method, shipped_methods
from harness.ledger.errors import BadInput
from harness.ledger.method import ResolvedTerm, Tap


def term(file: Path, function: str) -> ResolvedTerm:
    """A term at logits that names a function of a file."""
    return ResolvedTerm(
        name=f"{function}@logits",
        file=str(file),
        function=function,
        taps=(Tap(student="logits", teacher="logits"),),
        listed=False,
        weight=1.0,
        source="ours",
        settings={},
    )


def written(folder: Path, name: str, text: str) -> Path:
    """A file with the text."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", shipped_methods())
def test_every_loss_of_a_shipped_method_loads(name):
    """What a shipped descriptor names is a callable of that name."""
    for each in resolve_method(method_path(name), "streets", 4).terms:
        assert load(each).__name__ == each.function


def test_files_of_one_name_are_two_modules(tmp_path):
    """`loss.py` of one folder does not hide `loss.py` of another."""
    first = load(term(written(tmp_path / "a", "loss.py", "def f(): return 1"), "f"))
    second = load(term(written(tmp_path / "b", "loss.py", "def f(): return 2"), "f"))
    assert (first(), second()) == (1, 2)
    assert first.__module__ != second.__module__


def test_a_file_named_as_a_package_hides_nothing(tmp_path):
    """A method's file may be called torch.py."""
    load(term(written(tmp_path, "torch.py", "import torch\n\ndef f(): return torch.zeros(1)"), "f"))()
    import torch as again

    assert again is torch


def test_a_module_class_with_a_dataclass_beside_it_loads(tmp_path):
    """A class of nn.Module is a loss; dataclasses in the file find their module."""
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom torch import nn\n"
    text += "@dataclass\nclass Size:\n    height: int = 1\n\nclass Bank(nn.Module):\n    pass\n"
    assert issubclass(load(term(written(tmp_path, "bank.py", text), "Bank")), nn.Module)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_package_here\n", r"own\.py:1: cannot be loaded: ModuleNotFoundError: No module named"),
        ("x = 1\ny = x / 0\n", r"own\.py:2: cannot be loaded: ZeroDivisionError"),
        ("def loss(:\n", r"own\.py:1: cannot be loaded: SyntaxError"),
        ("def los(): pass\n", r"own\.py: has no 'loss' \(did you mean 'los'\?\)"),
        ("loss = 3\n", r"own\.py: 'loss' is no loss"),
        ("class loss: pass\n", r"own\.py: 'loss' is no loss"),
    ],
)
def test_a_file_that_cannot_be_used_is_bad_input(tmp_path, text, message):
    """Whatever is wrong with a method's file is one line with the file, the line and the fault."""
    with pytest.raises(BadInput, match=message):
        load(term(written(tmp_path, "own.py", text), "loss"))


def test_a_file_that_is_gone_is_bad_input(tmp_path):
    """A resolved method whose file was deleted since says so."""
    with pytest.raises(BadInput, match=r"gone\.py: cannot be loaded: FileNotFoundError"):
        load(term(tmp_path / "gone.py", "loss"))
