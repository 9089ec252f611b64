"""Descriptors: read, checked and settled without running a line of their code."""

import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.ledger import method as module
from harness.ledger.errors import BadInput
from harness.ledger.method import (
    Tap,
    loss_signatures,
    method_path,
    read_method,
    resolve_method,
    shipped_methods,
    student_alone,
)

STAGES = "'stage1', 'stage2', 'stage3', 'stage4', 'decoded', 'decoded_dropped', 'logits' or 'aux_logits'"
LOSSES = '''"""Losses of a test."""

raise SystemExit("reading a descriptor ran its code")


def warm(student, teacher, labels, *, draw, temperature=1.0, sizes=()):
    """With settings that have defaults."""


def needy(student, teacher, labels, *, draw, temperature, student_channels, teacher_channels):
    """With one that has none; the widths come from the engine."""


def _hidden(student, teacher, labels, *, draw):
    """No loss."""


class Bank:
    """With state."""

    def __init__(self, *, student_channels, size=10):
        """Settings of a class are its constructor's."""


class Bare:
    """Without a constructor of its own."""
'''


@pytest.fixture
def folder(tmp_path):
    """A folder of a person's own, with Python beside the descriptors."""
    (tmp_path / "mine.py").write_text(LOSSES)
    return tmp_path


@pytest.fixture
def write(folder):
    def write(terms: str, name: str = "mine", more: str = "") -> Path:
        path = folder / f"{name}.yaml"
        path.write_text(f"title: Mine\nfamily: general\nnotes: none\n{more}{terms}")
        return path

    return write


@pytest.fixture
def term(write):
    """A descriptor of one term, its lines beginning with line 5."""

    def term(loss="mine.py:warm", at="logits", weight="{default: 1.0}", source="ours", more="") -> Path:
        return write(f"terms:\n  - loss: {loss}\n    at: {at}\n    weight: {weight}\n    source: {source}\n{more}")

    return term


@pytest.fixture
def complaint(folder):
    """What a person is told, without the folder that the file lies in."""

    def complaint(path: Path, dataset: str = "streets") -> str:
        with pytest.raises(BadInput) as caught:
            resolve_method(path, dataset, 1024)
        return str(caught.value).replace(f"{folder}/", "")

    return complaint


def test_a_descriptor_is_read_without_running_its_code(term):
    """The file beside it would end the process if it were imported."""
    method = read_method(term())
    assert (method.title, method.family, method.terms[0].loss) == ("Mine", "general", "mine.py:warm")
    assert "mine" not in sys.modules


@pytest.mark.parametrize(
    ("at", "taps", "listed"),
    [
        ("logits", (Tap(student="logits", teacher="logits"),), False),
        ("[stage3]", (Tap(student="stage3", teacher="stage3"),), True),
        ("[stage3, stage4]", (Tap(student="stage3", teacher="stage3"), Tap(student="stage4", teacher="stage4")), True),
        (
            "{student: stage2, teacher: decoded, adapter: conv1x1}",
            (Tap(student="stage2", teacher="decoded", adapter="conv1x1"),),
            False,
        ),
    ],
)
def test_a_stage_a_list_or_a_pair_become_taps(term, at, taps, listed):
    """With a list the loss is given tuples, also with a list of one."""
    [resolved] = resolve_method(term(at=at), "streets", 1024).terms
    assert (resolved.taps, resolved.listed) == (taps, listed)


def test_a_resolved_term_names_its_file_and_keeps_its_settings(term, folder):
    """All that an engine needs."""
    [found] = resolve_method(term(more="    with: {temperature: 4, sizes: [1, 2]}\n    optional: true\n"), "x", 1).terms
    assert (found.name, found.file, found.function) == ("warm@logits", str(folder / "mine.py"), "warm")
    assert (found.settings, found.optional) == ({"temperature": 4, "sizes": (1, 2)}, True)


def test_a_word_names_a_shared_loss(term):
    """One of harness/distill/losses.py."""
    [found] = resolve_method(term(loss="mse"), "streets", 1024).terms
    assert (found.file, found.function) == (str(module.SHARED_LOSSES.resolve()), "mse")


def test_a_loss_may_be_borrowed_from_a_shipped_method_but_the_own_folder_comes_first(
    term, folder, monkeypatch, tmp_path_factory
):
    """A file beside the descriptor hides a shipped one of its name."""
    shipped = tmp_path_factory.mktemp("shipped")
    shutil.copy(folder / "mine.py", shipped / "theirs.py")
    monkeypatch.setattr(module, "SHIPPED", shipped)
    path = term(loss="theirs.py:warm")
    assert resolve_method(path, "x", 1).terms[0].file == str((shipped / "theirs.py").resolve())
    shutil.copy(folder / "mine.py", folder / "theirs.py")
    assert resolve_method(path, "x", 1).terms[0].file == str((folder / "theirs.py").resolve())


@pytest.mark.parametrize(
    ("dataset", "positions", "weight", "source"),
    [
        ("cityscapes", 4096, 3.0, "authors"),
        ("streets", 8192, 6.0, "transferred"),
        ("streets", 1024, 0.75, "transferred"),
    ],
)
def test_a_transferred_weight_scales_with_the_positions_of_a_crop(term, dataset, positions, weight, source):
    """Twice the positions, twice the weight; where there is a setting of its own that one holds."""
    path = term(
        weight="{cityscapes: 3.0, default: 9.0}",
        source="authors",
        more="    transfer: {origin: cityscapes, positions: 4096, scales_with: N}\n",
    )
    [found] = resolve_method(path, dataset, positions).terms
    assert (found.weight, found.source) == (weight, source)


def test_a_transferred_weight_may_scale_the_other_way(term):
    """Twice the positions, half the weight."""
    path = term(weight="{voc: 3.0}", more="    transfer: {origin: voc, positions: 512, scales_with: 1/N}\n")
    assert resolve_method(path, "streets", 1024).terms[0].weight == 1.5


def test_each_weight_has_its_source(term):
    """A table by data set, like the weights."""
    path = term(weight="{voc: 2.0, default: 1.0}", source="{voc: authors, default: ours}")
    found = [resolve_method(path, name, 1).terms[0] for name in ("voc", "streets")]
    assert [(term.weight, term.source) for term in found] == [(2.0, "authors"), (1.0, "ours")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "mine.py:wram"}, "mine.yaml:5: terms[0].loss: mine.py has no 'wram' (did you mean 'warm'?)"),
        ({"loss": "mine.py:_hidden"}, "mine.yaml:5: terms[0].loss: mine.py has no '_hidden'"),
        ({"loss": "'mine.py:'"}, "mine.yaml:5: terms[0].loss: mine.py has no ''"),
        ({"loss": '"mine.py:a\\nb"'}, "mine.yaml:5: terms[0].loss: mine.py has no 'a\\nb'"),
        ({"loss": "msee"}, "mine.yaml:5: terms[0].loss: no shared loss 'msee' (did you mean 'mse'?)"),
        (
            {"loss": "none.py:warm"},
            f"mine.yaml:5: terms[0].loss: {module.SHIPPED}/none.py: cannot be read: No such file or directory",
        ),
        *(
            (
                {"loss": f"'{file}:warm'"},
                f"mine.yaml:5: terms[0].loss: found '{file}': "
                "expected a .py file that lies beside the descriptor or ships with bench",
            )
            for file in ("../mine.py", "/etc/passwd", "..", "", "sub/mine.py", "mine.txt", ".py")
        ),
        (
            {"at": "lgits"},
            f'mine.yaml:6: terms[0].at: found "lgits": expected {STAGES}, a list or a mapping '
            "(did you mean 'logits'?)",
        ),
        ({"at": "[]"}, "mine.yaml:6: terms[0].at: found []: expected a stage"),
        (
            {"at": "[stage3, stage5]"},
            f"mine.yaml:6: terms[0].at[1]: found \"stage5\": expected {STAGES} (did you mean 'stage4'?)",
        ),
        (
            {"at": "{student: logits, taecher: logits}"},
            "mine.yaml:6: terms[0].at.taecher: unknown key (did you mean 'teacher'?): "
            "known are student, teacher, adapter",
        ),
        (
            {"at": "{student: stage4, teacher: stage4, adapter: conv}"},
            "mine.yaml:6: terms[0].at.adapter: found \"conv\": expected 'conv1x1' or 'conv1x1_without_bias' "
            "(did you mean 'conv1x1'?)",
        ),
        ({"weight": "3.0"}, "mine.yaml:7: terms[0].weight: found 3.0: expected a mapping"),
        ({"weight": "{default: -1}"}, "mine.yaml:7: terms[0].weight.default: found -1: expected at least 0"),
        (
            {"weight": "{street: 1.0}"},
            "mine.yaml:7: terms[0].weight: no weight for 'streets' (did you mean 'street'?) and no default: "
            "add one of the two",
        ),
        ({"weight": "{}"}, "mine.yaml:7: terms[0].weight: no weight for 'streets' and no default: add one of the two"),
        (
            {"source": "author"},
            'mine.yaml:8: terms[0].source: found "author": '
            "expected 'authors', 'reimplementation', 'transferred' or 'ours', or a mapping (did you mean 'authors'?)",
        ),
        (
            {"weight": "{voc: 1.0, default: 1.0}", "source": "{voc: authors}"},
            "mine.yaml:8: terms[0].source: does not say where the weight for 'default' comes from",
        ),
        (
            {"source": "{defualt: ours, default: ours}"},
            "mine.yaml:8: terms[0].source.defualt: there is no weight for 'defualt' (did you mean 'default'?)",
        ),
        (
            {"more": "    with: {temprature: 4.0}\n"},
            "mine.yaml:9: terms[0].with.temprature: 'warm' has no such setting (did you mean 'temperature'?): "
            "it takes temperature, sizes",
        ),
        (
            {"loss": "mine.py:Bare", "more": "    with: {size: 4}\n"},
            "mine.yaml:9: terms[0].with.size: 'Bare' has no such setting: it takes none",
        ),
        (
            {"loss": "mine.py:Bank", "more": "    with: {student_channels: 4}\n"},
            "mine.yaml:9: terms[0].with.student_channels: 'Bank' has no such setting: it takes size",
        ),
        (
            {"loss": "mine.py:needy"},
            "mine.yaml:5: terms[0].with.temperature: missing: 'needy' needs it",
        ),
        (
            {
                "more": "    transfer: {origin: cityscape, positions: 4, scales_with: N}\n",
                "weight": "{cityscapes: 1.0}",
            },
            "mine.yaml:9: terms[0].transfer.origin: no weight for 'cityscape' (did you mean 'cityscapes'?)",
        ),
        (
            {"more": "    transfer: {origin: default, positions: 4, scales_with: B}\n"},
            "mine.yaml:9: terms[0].transfer.scales_with: found \"B\": expected 'N' or '1/N'",
        ),
        (
            {"more": "    wieght: 3\n"},
            "mine.yaml:9: terms[0].wieght: unknown key (did you mean 'weight'?): "
            "known are loss, at, weight, source, transfer, with, optional",
        ),
    ],
)
def test_a_wrong_term_is_told_on_one_line(complaint, term, change, message):
    """File, line, key, what was found, what was expected, the nearest name."""
    assert complaint(term(**change)) == message


@pytest.mark.parametrize(
    ("name", "more", "terms", "message"),
    [
        ("Mine", "", "terms: []\n", "Mine.yaml: a method's name is its file's, of a-z, 0-9 and _"),
        ("a-b", "", "terms: []\n", "a-b.yaml: a method's name is its file's, of a-z, 0-9 and _"),
        ("mine", "", "terms: []\n", "mine.yaml:4: terms: found []: expected a term; only the baseline has none"),
        ("mine", "", "", "mine.yaml:1: terms: missing"),
        ("mine", "group: 0\n", "terms: []\n", "mine.yaml:4: group: found 0: expected more than 0"),
        (
            "mine",
            "paper: {arxiv: 2011.13256}\n",
            "terms: []\n",
            "mine.yaml:4: paper.arxiv: found 2011.13256: expected text, in quotes",
        ),
        (
            "mine",
            "reference: {repo: a/b, commit: 1234567}\n",
            "terms: []\n",
            "mine.yaml:4: reference.commit: found 1234567: expected text, in quotes",
        ),
        (
            "baseline",
            "",
            "terms:\n  - {loss: mse, at: logits, weight: {default: 1.0}, source: ours}\n",
            "baseline.yaml:4: terms: the baseline is the student alone and has no terms",
        ),
    ],
)
def test_a_wrong_descriptor_is_told_on_one_line(complaint, write, name, more, terms, message):
    """Also an arXiv number that YAML takes for a number."""
    assert complaint(write(terms, name, more)) == message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def warm(:\n", "5: terms[0].loss: mine.py:1: not Python: invalid syntax"),
        ("a = 1\x00\n", "5: terms[0].loss: mine.py:1: not Python: source code string cannot contain null bytes"),
        ("x = " + "(" * 300 + "\n", "5: terms[0].loss: mine.py:1: not Python: too many nested parentheses"),
        ("x = " + "-" * 100_000 + "1\n", "5: terms[0].loss: mine.py: not Python: nested too deeply"),
    ],
    ids=["syntax", "null", "parentheses", "minuses"],
)
def test_a_file_that_is_no_python_is_told(complaint, term, folder, source, message):
    """With its own line, and without a traceback."""
    (folder / "mine.py").write_text(source)
    assert complaint(term()) == f"mine.yaml:{message}"


def test_a_file_that_is_no_text_is_told(complaint, term, folder):
    """Bytes that are no UTF-8."""
    (folder / "mine.py").write_bytes(b"\xff\xfe")
    assert complaint(term()).startswith("mine.yaml:5: terms[0].loss: mine.py:1: not Python: ")


def test_signatures_are_the_settings_of_public_names(folder):
    """What the engine gives is no setting."""
    assert loss_signatures(folder / "mine.py", "here") == {
        "warm": ("temperature", "sizes"),
        "needy": ("temperature",),
        "Bank": ("size",),
        "Bare": (),
    }


def test_the_baseline_is_the_student_alone():
    """It has no terms, and no teacher is run for it."""
    assert (student_alone().distils, student_alone().family) == (False, "baseline")


def digest(path: Path, dataset: str = "streets") -> str:
    return resolve_method(path, dataset, 1024).digest


def test_a_digest_changes_with_what_a_method_computes(term, folder):
    """Its weight, its taps, its settings, its Python."""
    one = digest(term())
    others = {
        digest(term(weight="{default: 2.0}")),
        digest(term(at="decoded")),
        digest(term(more="    with: {temperature: 2.0}\n")),
        digest(term(source="authors")),
    }
    (folder / "mine.py").write_text(LOSSES + "\n# another line\n")
    others.add(digest(term()))
    assert len(others - {one}) == 5


def test_a_digest_keeps_to_what_a_method_computes(write, term):
    """Title, notes and weights for other data sets are no part of it."""
    one = digest(term())
    path = term(weight="{default: 1.0, voc: 7.0}")
    path.write_text(path.read_text().replace("title: Mine", "title: Ours").replace("notes: none", "notes: many"))
    assert digest(path) == one


def test_a_digest_is_the_same_wherever_the_method_lies(term, folder, tmp_path_factory):
    """Two people with one method in two folders share costs and boards."""
    path, above, below = term(), tmp_path_factory.mktemp("0"), tmp_path_factory.mktemp("zzz")
    for other in (above, below):
        shutil.copy(path, other)
        shutil.copy(folder / "mine.py", other)
    assert {digest(above / "mine.yaml"), digest(below / "mine.yaml")} == {digest(path)}


def test_the_baseline_comes_first_and_then_the_alphabet(folder, monkeypatch):
    """As `--methods all` runs them."""
    for name in ("zeta", "baseline", "alpha"):
        (folder / f"{name}.yaml").touch()
    monkeypatch.setattr(module, "SHIPPED", folder)
    assert shipped_methods() == ("baseline", "alpha", "zeta")


def test_a_name_or_a_path_finds_a_descriptor(folder, monkeypatch):
    """A path is taken as it is; a name must be shipped."""
    (folder / "cwd.yaml").touch()
    monkeypatch.setattr(module, "SHIPPED", folder)
    assert method_path("cwd") == folder / "cwd.yaml"
    assert method_path("my/own.yml") == Path("my/own.yml")


def test_an_unknown_name_is_told_with_the_nearest(folder, monkeypatch):
    """And where to see them all."""
    (folder / "cwd.yaml").touch()
    monkeypatch.setattr(module, "SHIPPED", folder)
    with pytest.raises(BadInput) as caught:
        method_path("cdw")
    assert str(caught.value) == "no method 'cdw' (did you mean 'cwd'?): see `bench methods list`"


@pytest.mark.parametrize("name", shipped_methods())
def test_every_shipped_descriptor_reads(name):
    """Losses, settings and sources are all there."""
    assert read_method(method_path(name)).title


LINES = st.sampled_from(
    ["  - loss: mine.py:warm", "  - loss: kl", "    at: logits", "    at: [stage1, x]", "    at: {student: logits}",
     "    weight: {default: 1}", "    weight: 3", "    source: ours", "    source: {a: b}", "    with: {a: [1, b]}",
     "    with: 3", "    transfer: {origin: x}", "group: 2", "paper: x", "- a", "  b", "terms: 3"]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, max_size=8))
def test_any_descriptor_resolves_or_is_bad_input_of_one_line(write, lines):
    """Whatever lines a person puts together."""
    path = write("terms:\n" + "\n".join(lines) + "\n")
    try:
        said = resolve_method(path, "streets", 16).name
    except BadInput as error:
        said = str(error)
    assert said == "mine" or (said.startswith(str(path)) and len(said.splitlines()) == 1)
