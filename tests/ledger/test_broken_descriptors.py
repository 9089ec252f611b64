"""What a person is told about a broken descriptor: file, line, key, what was found, what was expected, the nearest."""

import random
import sys

import pytest

from harness import cli
from harness.ledger.descriptor import SHIPPED, resolve_method
from harness.ledger.errors import BadInput
from harness.sweep.story import distinct

GOOD = """\
title: Mine
family: general
preparation: {share: 0.2}
paper: {arxiv: "2011.13256", venue: ICCV 2021}
reference: {repo: a/b, commit: "78bac7c"}
terms:
  - loss: mine.py:warm
    at: logits
    weight: {voc: 3.0, default: 1.0}
    source: {voc: authors, default: ours}
    with: {temperature: 4.0}
    group: 2
  - loss: mine.py:Bank
    at: [stage3, {student: stage4, teacher: stage4, adapter: conv1x1}]
    with: {size: 4}
    parts:
      pixel:
        weight: {voc: 2e-5}
        source: authors
        transfer: {origin: voc, positions: 4096, channels: 512, scales_with: 1/(C·N)}
      region: {weight: {default: 0.1}, source: ours}
notes: none
"""
STAGES = (
    "expected 'stage1', 'stage2', 'stage3', 'stage4', 'decoded', 'decoded_dropped', 'logits', 'aux_logits', "
    "'embedding1', 'embedding2', 'embedding3' or 'embedding4'"
)
FAMILIES = "expected 'baseline', 'canonical', 'general' or 'segmentation'"
SOURCES = "expected 'authors', 'reimplementation', 'transferred' or 'ours'"
RULES = "expected 'N', '1/N', '1/C', '1/(C·N)', 'C/N' or 'B'"
TERM_KEYS = "known are loss, at, weight, source, transfer, parts, with, group"
SETTINGS = "it takes temperature, sizes, shares, norm, deep, kernel, free"
PYTHON = "expected a .py file that lies beside the descriptor or ships with bench"
LOSS, AT, WEIGHT = "mine.yaml:7: terms[0].loss: ", "mine.yaml:8: terms[0].at: ", "mine.yaml:9: terms[0].weight"
SOURCE, WITH, GROUP = "mine.yaml:10: terms[0].source", "mine.yaml:11: terms[0].with.", "mine.yaml:12: terms[0].group: "
LIST, PIXEL = "mine.yaml:14: terms[1].at", "terms[1].parts.pixel"
TRANSFER, RULE = f"mine.yaml:20: {PIXEL}.transfer", "scales_with: 1/(C·N)"
EITHER = "missing: a term has a weight with its source, or parts that have theirs"
OWN = "the term has parts, which have weights and sources of their own: leave it out"

# What is changed in the good descriptor, into what, and the line that a person reads.
CHANGES = [
    # No data at all.
    ("title: Mine\n", "title: Mine\ntitle: Ours\n", "mine.yaml:2: title: written twice"),
    ("4.0}", "4.0, temperature: 2.0}", f"{WITH}temperature: written twice"),
    ("notes: none", "notes: *all", "mine.yaml:22: aliases (*all) are not allowed; write it out"),
    (
        "notes: none",
        "notes: !!python/object/apply:os.system [id]",
        "mine.yaml:22: tag:yaml.org,2002:python/object/apply:os.system is not allowed: "
        "YAML here holds data, never constructors",
    ),
    ("notes: none", "notes: " + "[" * 50 + "]" * 50, "mine.yaml:22: nested more than 32 levels deep"),
    ("size: 4", f"size: {10**30}", f'mine.yaml:15: terms[1].with.size: "{10**30}" is too large a number'),
    (
        "notes: none",
        "notes: 'none",
        "mine.yaml:23: not YAML: while scanning a quoted scalar, found unexpected end of stream",
    ),
    (GOOD, "", "mine.yaml: the file is empty"),
    (
        GOOD,
        "- title: Mine\n- family: general\n",
        'mine.yaml:1: found [{"title": "Mine"}, {"family": "general"}]: expected a mapping',
    ),
    (GOOD, "Mine\n", 'mine.yaml:1: found "Mine": expected a mapping'),
    # Keys.
    (
        "title:",
        "titel:",
        "mine.yaml:1: titel: unknown key (did you mean 'title'?): "
        "known are title, family, variant_of, paper, reference, preparation, terms, notes",
    ),
    ("    group:", "    gruop:", f"mine.yaml:12: terms[0].gruop: unknown key (did you mean 'group'?): {TERM_KEYS}"),
    (
        "    with: {size",
        "    optional: true\n    with: {size",
        f"mine.yaml:15: terms[1].optional: unknown key: {TERM_KEYS}",
    ),
    (
        "        source:",
        "        sorce:",
        f"mine.yaml:19: {PIXEL}.sorce: unknown key (did you mean 'source'?): known are weight, source, transfer",
    ),
    (
        "positions:",
        "postions:",
        f"{TRANSFER}.postions: unknown key (did you mean 'positions'?): "
        "known are origin, scales_with, positions, channels, batch",
    ),
    (
        "teacher:",
        "taecher:",
        f"{LIST}[1].taecher: unknown key (did you mean 'teacher'?): known are student, teacher, adapter, optional",
    ),
    ("notes: none\n", "", "mine.yaml:1: notes: missing"),
    ("    at: logits\n", "", "mine.yaml:7: terms[0].at: missing"),
    # Types.
    ("title: Mine", "title: [Mine]", 'mine.yaml:1: title: found ["Mine"]: expected text'),
    ('"2011.13256"', "2011.13256", "mine.yaml:4: paper.arxiv: found 2011.13256: expected text, in quotes"),
    ('"78bac7c"', "1234567", "mine.yaml:5: reference.commit: found 1234567: expected text, in quotes"),
    ("voc: 3.0", "voc: three", f'{WEIGHT}.voc: found "three": expected a number'),
    ("voc: 2e-5", 'voc: "2e-5"', f'mine.yaml:18: {PIXEL}.weight.voc: found "2e-5": expected a number without quotes'),
    (
        "positions: 4096",
        "positions: '4096'",
        f'{TRANSFER}.positions: found "4096": expected a whole number without quotes',
    ),
    ("positions: 4096", "positions: 40.5", f"{TRANSFER}.positions: found 40.5: expected a whole number"),
    ("{voc: 3.0, default: 1.0}", "3.0", f"{WEIGHT}: found 3.0: expected a mapping"),
    ("{temperature: 4.0}", "4.0", "mine.yaml:11: terms[0].with: found 4.0: expected a mapping"),
    (
        "with: {temperature: 4.0}",
        "with: {temperature: {at: 4.0}}",
        f"{WITH}temperature: found a mapping: expected true or false, a whole number, a number, text or a list",
    ),
    # Words.
    ("at: logits", "at: lgits", f"{AT}found \"lgits\": {STAGES}, a mapping or a list (did you mean 'logits'?)"),
    ("at: logits", "at: []", f"{AT}found []: expected a stage"),
    ("[stage3,", "[stage5,", f"{LIST}[0]: found \"stage5\": {STAGES}, or a mapping (did you mean 'stage4'?)"),
    (
        "adapter: conv1x1",
        "adapter: conv",
        f"{LIST}[1].adapter: found \"conv\": expected 'conv1x1' or 'conv1x1_without_bias' (did you mean 'conv1x1'?)",
    ),
    (
        "family: general",
        "family: generl",
        f"mine.yaml:2: family: found \"generl\": {FAMILIES} (did you mean 'general'?)",
    ),
    (
        "source: authors",
        "source: author",
        f"mine.yaml:19: {PIXEL}.source: found \"author\": {SOURCES}, or a mapping (did you mean 'authors'?)",
    ),
    ("default: ours", "default: our", f"{SOURCE}.default: found \"our\": {SOURCES} (did you mean 'ours'?)"),
    (RULE, "scales_with: 1/(N·C)", f"{TRANSFER}.scales_with: found \"1/(N·C)\": {RULES} (did you mean '1/(C·N)'?)"),
    ("family", "variant_of: cdw\nfamily", "mine.yaml:2: variant_of: no method 'cdw' (did you mean 'cwd'?)"),
    # What does not fit together.
    ("positions: 4096, ", "", f"{TRANSFER}: scales_with 1/(C·N) needs positions: what it was at the origin"),
    ("channels: 512, ", "", f"{TRANSFER}: scales_with 1/(C·N) needs channels: what it was at the origin"),
    (RULE, "scales_with: B", f"{TRANSFER}: scales_with B needs batch: what it was at the origin"),
    ("origin: voc", "origin: vox", f"{TRANSFER}.origin: no weight for 'vox' (did you mean 'voc'?)"),
    ("default: ours", "defualt: ours", f"{SOURCE}.defualt: there is no weight for 'defualt' (did you mean 'default'?)"),
    (", default: ours", "", f"{SOURCE}: does not say where the weight for 'default' comes from"),
    ("{voc: 3.0, default: 1.0}", "{}", f"{WEIGHT}: found {{}}: expected a weight for a data set, or a default"),
    ("    parts:", "    weight: {default: 1.0}\n    parts:", f"mine.yaml:16: terms[1].weight: {OWN}"),
    ("    parts:", "    source: ours\n    parts:", f"mine.yaml:16: terms[1].source: {OWN}"),
    ("    weight: {voc: 3.0, default: 1.0}\n", "", f"mine.yaml:7: terms[0].weight: {EITHER}"),
    ("    source: {voc: authors, default: ours}\n", "", f"mine.yaml:7: terms[0].source: {EITHER}"),
    ("mine.py:Bank", "mine.py:Bare", "mine.yaml:13: terms[1].loss: 'Bare' has no parts: give it a weight"),
    ("mine.py:warm", "mine.py:halves", f"{LOSS}'halves' returns parts: give each a weight under `parts`"),
    (", source: ours}", "}", "mine.yaml:21: terms[1].parts.region.source: missing"),
    ("family: general", "family: baseline", "mine.yaml:6: terms: the baseline is the student alone and has no terms"),
    (
        GOOD[GOOD.index("terms:") : GOOD.index("notes:")],
        "terms: []\n",
        "mine.yaml:6: terms: found []: expected a term; only the baseline has none",
    ),
    # Numbers.
    ("voc: 3.0", "voc: -1", f"{WEIGHT}.voc: found -1: expected at least 0"),
    ("voc: 3.0", "voc: .nan", f'{WEIGHT}.voc: found ".nan": expected a number'),
    ("voc: 3.0", "voc: 1e999", f'{WEIGHT}.voc: "1e999" is too large a number'),
    ("group: 2", "group: 0", f"{GROUP}found 0: expected more than 0"),
    ("group: 2", "group: two", f'{GROUP}found "two": expected a whole number or a mapping'),
    ("group: 2", "group: {default: 0}", "mine.yaml:12: terms[0].group.default: found 0: expected more than 0"),
    ("share: 0.2", "share: 0", "mine.yaml:3: preparation.share: found 0: expected more than 0"),
    ("share: 0.2", "share: 1", "mine.yaml:3: preparation.share: found 1: expected less than 1"),
    ("share: 0.2", "share: 1.5", "mine.yaml:3: preparation.share: found 1.5: expected less than 1"),
    # The data set.
    ("default: 1.0", "street: 1.0", f"{SOURCE}.default: there is no weight for 'default'"),
    (
        "{default: 0.1}",
        "{street: 0.1}",
        "mine.yaml:21: terms[1].parts.region.weight: "
        "no weight for 'streets' (did you mean 'street'?) and no default: add one of the two",
    ),
    (
        "group: 2",
        "group: {street: 2}",
        f"{GROUP}no group for 'streets' (did you mean 'street'?) and no default: add one of the two",
    ),
    # The loss.
    ("mine.py:warm", "mine.py:wram", f"{LOSS}mine.py has no 'wram' (did you mean 'warm'?)"),
    ("mine.py:warm", "mine.py:_hidden", f"{LOSS}mine.py has no '_hidden'"),
    ("mine.py:warm", '"mine.py:a\\nb"', f"{LOSS}mine.py has no 'a\\nb'"),
    ("mine.py:warm", "msee", f"{LOSS}no shared loss 'msee' (did you mean 'mse'?)"),
    (
        "mine.py:warm",
        "mien.py:warm",
        f"{LOSS}no file 'mien.py' (did you mean 'mine.py'?), neither beside the descriptor nor shipped with bench",
    ),
    *(
        ("mine.py:warm", f"'{file}:warm'", f"{LOSS}found '{file}': {PYTHON}")
        for file in ("../mine.py", "/tmp/mine.py", "/etc/passwd", "..", "", "sub/mine.py", "mine.txt", ".py")
    ),
    # Its settings.
    (
        "{temperature",
        "{temprature",
        f"{WITH}temprature: 'warm' has no such setting (did you mean 'temperature'?): {SETTINGS}",
    ),
    (
        "{size: 4}",
        "{student_channels: 4}",
        "mine.yaml:15: terms[1].with.student_channels: 'Bank' has no such setting: it takes size",
    ),
    ("temperature: 4.0", "temperature: hot", f"{WITH}temperature: found \"hot\": 'warm' expects a number"),
    ("temperature: 4.0", "temperature: true", f"{WITH}temperature: found true: 'warm' expects a number"),
    ("temperature: 4.0", "kernel: 3.0", f"{WITH}kernel: found 3.0: 'warm' expects a whole number"),
    ("temperature: 4.0", "sizes: 3", f"{WITH}sizes: found 3: 'warm' expects a list of whole numbers"),
    ("temperature: 4.0", "sizes: [1, 2.5]", f"{WITH}sizes: found [1.0, 2.5]: 'warm' expects a list of whole numbers"),
    ("temperature: 4.0", "shares: 0.4", f"{WITH}shares: found 0.4: 'warm' expects a list of numbers"),
    ("temperature: 4.0", "deep: 1", f"{WITH}deep: found 1: 'warm' expects true or false"),
    ("temperature: 4.0", "norm: 1", f"{WITH}norm: found 1: 'warm' expects text"),
    ("mine.py:warm", "mine.py:Bare", f"{WITH}temperature: 'Bare' has no such setting: it takes none"),
]


@pytest.fixture
def broken(folder):
    """The good descriptor with one change."""

    def broken(old: str, new: str):
        assert GOOD.count(old) >= 1, f"the good descriptor has no {old!r}"
        path = folder / "mine.yaml"
        path.write_text(GOOD.replace(old, new, 1))
        return path

    return broken


def test_the_good_descriptor_is_good(broken):
    """So that each change below is all that is wrong."""
    assert len(resolve_method(broken("Mine", "Mine"), "streets", 8).terms) == 2


@pytest.mark.parametrize(("old", "new", "message"), CHANGES)
def test_a_broken_descriptor_is_told_on_one_line(broken, complaint, old, new, message):
    """The whole line, to the letter."""
    assert complaint(broken(old, new)) == message


def test_a_loss_without_a_setting_that_it_needs_is_told(broken, complaint):
    """On the line of the settings that are there."""
    path = broken("mine.py:warm\n", "mine.py:needy\n")
    path.write_text(path.read_text().replace("with: {temperature: 4.0}", "with: {}"))
    assert complaint(path) == "mine.yaml:11: terms[0].with.temperature: missing: 'needy' needs it"


def test_a_method_that_weighs_nothing_anywhere_is_refused(broken, complaint):
    """It would be the baseline under another name; one weight above 0 on any data set is enough."""
    path = broken("", "")
    text = path.read_text().replace("voc: 3.0, default: 1.0", "voc: 0, default: 0.0").replace("2e-5", "0")
    path.write_text(text)
    resolve_method(path, "streets", 8)
    path.write_text(text.replace("default: 0.1", "default: 0"))
    assert complaint(path) == f"{WEIGHT}: every weight of the method is 0: a term that weighs nothing is left out"


def test_a_bomb_of_aliases_is_refused_at_its_first(broken, complaint):
    """Before it unfolds."""
    bomb = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10))
    path = broken("title", f"l0: &l0 [x]\n{bomb}title")
    assert complaint(path) == "mine.yaml:2: aliases (*l0) are not allowed; write it out"


def test_python_that_does_not_parse_is_told_with_its_own_line(broken, complaint, folder):
    """Behind the line that names it."""
    (folder / "mine.py").write_text("import torch\n\ndef warm(:\n")
    assert complaint(broken("", "")) == f"{LOSS}mine.py:3: not Python: invalid syntax"


def test_what_is_no_text_is_told_with_its_line(broken, complaint):
    """Bytes that are no UTF-8."""
    path = broken("", "")
    path.write_bytes(path.read_bytes().replace("·".encode(), b"\xff"))
    assert complaint(path) == "mine.yaml:20: cannot be read: not UTF-8 text"


@pytest.mark.parametrize(("name", "close"), [("Mine", "mine"), ("a-b", "a_b"), ("my method", "my_method"), ("ü", "")])
def test_a_files_name_is_the_methods(write, complaint, name, close):
    """Of letters that every file system and every page can hold."""
    hint = f" (did you mean '{close}'?)" if close else ""
    assert (
        complaint(write("terms: []\n", name)) == f"{name}.yaml: a method's name is its file's, of a-z, 0-9 and _{hint}"
    )


def test_the_baseline_has_no_terms_and_prepares_nothing(write, complaint):
    """Whatever its family says."""
    term = "terms: [{loss: mse, at: logits, weight: {default: 1.0}, source: ours}]\n"
    alone = "baseline.yaml:4: terms: the baseline is the student alone and has no terms"
    nothing = "baseline.yaml:4: preparation: the baseline has no terms, and nothing to prepare"
    assert complaint(write(term, "baseline")) == alone
    assert complaint(write("terms: []\n", "baseline", "preparation: {share: 0.1}\n")) == nothing


def test_two_files_of_one_name_are_refused(write, broken):
    """One of them may be shipped: results of the two would stand in one row."""
    own = resolve_method(
        write("terms: [{loss: mse, at: logits, weight: {default: 1.0}, source: ours}]\n", "kd"), "x", 8
    )
    shipped = resolve_method(SHIPPED / "kd.yaml", "x", 8)
    assert distinct([shipped, shipped]) == [shipped]
    with pytest.raises(BadInput) as caught:
        distinct([shipped, own])
    assert str(caught.value) == "--methods: two different methods are named 'kd': rename one of the files"


@pytest.mark.parametrize(("old", "new", "message"), random.Random(0).sample(CHANGES[:60], 12))
def test_the_command_says_the_same_line_and_exits_with_2(broken, monkeypatch, capsys, folder, old, new, message):
    """Without a traceback, and with nothing on standard output."""
    monkeypatch.setattr(sys, "argv", ["bench", "methods", "show", str(broken(old, new))])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    printed = capsys.readouterr()
    assert (caught.value.code, printed.out) == (2, "")
    assert printed.err == f"bench: {folder}/{message}\n"
