"""Descriptors and workloads of a stranger: no pipe blocks, no device and no file without end is read."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ledger.descriptor import read_method
from harness.ledger.errors import BadInput
from harness.ledger.reading import LONGEST_TEXT, read_yaml
from harness.ledger.workload import SHIPPED, read_workload
from tests.security.hostile import line_or_nothing

TERM = "terms: [{loss: 'mine.py:warm', at: logits, weight: {default: 1}, source: ours}]\n"
HEAD = "title: Mine\nfamily: general\nnotes: none\n"


def refusal(path: Path, read=read_method) -> str:
    with pytest.raises(BadInput) as caught:
        read(path)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize("read", [read_method, read_workload])
def test_a_pipe_or_a_device_in_place_of_a_text_is_not_waited_for(tmp_path: Path, read):
    """Either would keep whoever reads it for ever."""
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zeros.yaml").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        assert refusal(tmp_path / f"{name}.yaml", read) == f"{name}.yaml: is no plain file"


def test_a_text_of_ten_gigabytes_is_not_read(tmp_path: Path):
    """It has no lines, and takes nothing on the disk either."""
    path = tmp_path / "long.yaml"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    assert refusal(path) == f"long.yaml: found 10,737,418,240 bytes: expected at most {LONGEST_TEXT:,}"


def test_a_file_that_hides_its_size_is_read_no_further_than_that(tmp_path: Path):
    """Of what /proc shows the size is 0."""
    (tmp_path / "own.yaml").symlink_to("/proc/self/status")
    assert "own.yaml:" in refusal(tmp_path / "own.yaml")


def test_a_pipe_or_an_endless_file_in_place_of_a_loss_is_not_parsed(tmp_path: Path):
    """`mine.py` beside the descriptor."""
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + TERM)
    where = "mine.yaml:4: terms[0].loss: "
    os.mkfifo(tmp_path / "mine.py")
    assert refusal(path) == f"{where}mine.py: is no plain file"
    (tmp_path / "mine.py").unlink()
    (tmp_path / "mine.py").write_bytes(b"#" * (2**18 + 1))
    assert refusal(path) == f"{where}mine.py: found 262,145 bytes: expected at most 262,144"


@pytest.mark.parametrize("folder", ["..", "../other", "/etc", "below", "~"])
def test_a_loss_lies_beside_its_descriptor_or_ships(tmp_path: Path, folder: str):
    """No name leads elsewhere."""
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + TERM.replace("mine.py", f"{folder}/mine.py"))
    assert "expected a .py file that lies beside the descriptor or ships with bench" in refusal(path)


def test_a_text_holds_no_nul(tmp_path: Path):
    """The system would take it for the end of a file's name."""
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + TERM.replace("'mine.py:warm'", '"mine\\0.py:warm"'))
    assert refusal(path) == r'mine.yaml:4: "mine\u0000.py:warm" is no text: a NUL'


def test_very_many_faults_are_told_in_a_time_that_grows_with_the_file(tmp_path: Path):
    """Sixteen thousand names of no stage; each was looked for among all others once."""
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + TERM.replace("'mine.py:warm'", "kl").replace("logits", f"[{'x, ' * 4000}]"))
    assert refusal(path).startswith('mine.yaml:4: terms[0].at[0]: found "x": expected ')


SHIPPED_TEXTS = [path.read_text() for path in sorted(SHIPPED.glob("*.yaml"))]
SCRAPS = st.sampled_from(
    ["&a ", "*a", "!!python/object:os.system ", "<<: ", "[" * 40, "{", "9" * 400, "\x00", "\ufeff"]
)
CUTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), SCRAPS | st.text(max_size=4)), min_size=1, max_size=4)


def mutated(text: str, cuts: list[tuple[float, int, str]]) -> bytes:
    for place, length, scrap in cuts:
        at = int(place * len(text))
        text = text[:at] + scrap + text[at + length :]
    return text.encode(errors="surrogatepass")


def is_told_or_read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for read in (read_yaml, read_workload):
        told = line_or_nothing(lambda read=read: read(path))
        assert not told or (told.startswith(str(path)) and len(told.splitlines()) == 1)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(text=st.sampled_from(SHIPPED_TEXTS), cuts=CUTS)
def test_a_mutated_workload_is_a_workload_or_one_line(tmp_path_factory, text: str, cuts):
    """A few characters out, a scrap in, anywhere."""
    is_told_or_read(tmp_path_factory.getbasetemp() / "any.yaml", mutated(text, cuts))


@pytest.mark.thorough
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(text=st.sampled_from(SHIPPED_TEXTS), cuts=CUTS)
def test_many_mutated_workloads_are_workloads_or_one_line(tmp_path_factory, text: str, cuts):
    """The same, longer."""
    is_told_or_read(tmp_path_factory.getbasetemp() / "any.yaml", mutated(text, cuts))
