"""Descriptors: read, checked and settled without running a line of their code."""

import shutil
import sys
from pathlib import Path

import pytest

from harness.ledger import descriptor as module
from harness.ledger.descriptor import (
    all_methods,
    method_path,
    must_be_as_planned,
    read_method,
    resolve_method,
    scaled,
    shipped_methods,
)
from harness.ledger.errors import BadInput
from harness.ledger.method import ResolvedPart, Tap, Transfer
from tests.ledger.conftest import LOSSES

PAIR = "{student: stage2, teacher: decoded, adapter: conv1x1}"
PAIR_TAP = Tap(student="stage2", teacher="decoded", adapter="conv1x1")


def tap(stage: str, *, optional: bool = False) -> Tap:
    return Tap(student=stage, teacher=stage, optional=optional)


def test_a_descriptor_is_read_without_running_its_code(term):
    """The file beside it would end the process if it were imported."""
    method = read_method(term())
    assert (method.title, method.family, method.terms[0].loss) == ("Mine", "general", "mine.py:warm")
    assert "mine" not in sys.modules


@pytest.mark.parametrize(
    ("at", "taps", "listed"),
    [
        ("logits", (tap("logits"),), False),
        ("embedding2", (tap("embedding2"),), False),
        ("[stage3]", (tap("stage3"),), True),
        ("[stage3, stage4]", (tap("stage3"), tap("stage4")), True),
        (PAIR, (PAIR_TAP,), False),
        (f"[stage3, {PAIR}]", (tap("stage3"), PAIR_TAP), True),
        (
            "[logits, {student: aux_logits, teacher: aux_logits, optional: true}]",
            (tap("logits"), tap("aux_logits", optional=True)),
            True,
        ),
    ],
)
def test_a_stage_a_pair_or_a_list_of_both_become_taps(term, at, taps, listed):
    """With a list the loss is given tuples, also with a list of one."""
    [resolved] = resolve_method(term(at=at), "streets", 8).terms
    assert (resolved.taps, resolved.listed) == (taps, listed)


def test_a_resolved_term_names_its_file_and_keeps_its_settings(term, folder):
    """All that an engine needs."""
    [found] = resolve_method(term(more="    with: {temperature: 4, sizes: [1, 2]}\n"), "x", 1).terms
    assert (found.name, found.file, found.function) == ("warm@logits", str(folder / "mine.py"), "warm")
    assert (found.settings, found.group, found.parts) == ({"temperature": 4, "sizes": (1, 2)}, None, ())


def test_a_word_names_a_shared_loss(term):
    """One of harness/distill/losses.py."""
    [found] = resolve_method(term(loss="mse"), "streets", 8).terms
    assert (found.file, found.function) == (str(module.SHARED_LOSSES.resolve()), "mse")


@pytest.fixture
def shipped(folder, monkeypatch, tmp_path_factory):
    """A folder of shipped methods, with one Python file."""
    found = tmp_path_factory.mktemp("shipped")
    shutil.copy(folder / "mine.py", found / "theirs.py")
    monkeypatch.setattr(module, "SHIPPED", found)
    return found


def test_a_loss_may_be_borrowed_from_a_shipped_method_but_the_own_folder_comes_first(term, folder, shipped):
    """A file beside the descriptor hides a shipped one of its name."""
    path = term(loss="theirs.py:warm")
    assert resolve_method(path, "x", 1).terms[0].file == str((shipped / "theirs.py").resolve())
    shutil.copy(folder / "mine.py", folder / "theirs.py")
    assert resolve_method(path, "x", 1).terms[0].file == str((folder / "theirs.py").resolve())


def test_each_weight_has_its_source(term):
    """A table by data set, like the weights."""
    path = term(weight="{voc: 2.0, default: 1.0}", source="{voc: authors, default: ours}")
    found = [resolve_method(path, name, 1).terms[0] for name in ("voc", "streets")]
    assert [(term.weight, term.source) for term in found] == [(2.0, "authors"), (1.0, "ours")]


def test_a_weight_of_another_data_set_comes_with_the_rule_that_moves_it(term):
    """Scaling is the engine's, who knows its stages; a setting of the data set's own, or none to move, holds as is."""
    rule = "    transfer: {origin: voc, positions: 4096, scales_with: N}\n"
    path = term(weight="{voc: 3.0, streets: 5.0, default: 9.0}", source="authors", more=rule)
    found = {name: resolve_method(path, name, 8).terms[0] for name in ("voc", "streets", "camvid")}
    moved = Transfer(origin="voc", positions=4096, scales_with="N")
    assert {name: (term.weight, term.source, term.transfer) for name, term in found.items()} == {
        "voc": (3.0, "authors", None),
        "streets": (5.0, "authors", None),
        "camvid": (3.0, "transferred", moved),
    }


PARTS = """\
terms:
  - loss: mine.py:Bank
    at: stage4
    parts:
      pixel:
        weight: {voc: 0.5, default: 0.1}
        source: {voc: authors, default: ours}
      region:
        weight: {voc: 2e-5}
        source: authors
        transfer: {origin: voc, positions: 64, channels: 8, scales_with: 1/(C·N)}
"""


def test_parts_have_weights_sources_and_transfers_of_their_own(write):
    """The term itself then stands with 1, its parts with what was said of them."""
    [at_voc] = resolve_method(write(PARTS), "voc", 8).terms
    [elsewhere] = resolve_method(write(PARTS), "streets", 8).terms
    moved = Transfer(origin="voc", positions=64, channels=8, scales_with="1/(C·N)")
    assert (at_voc.weight, at_voc.transfer, elsewhere.weight, elsewhere.transfer) == (1.0, None, 1.0, None)
    assert at_voc.parts == (
        ResolvedPart(name="pixel", weight=0.5, source="authors"),
        ResolvedPart(name="region", weight=2e-5, source="authors"),
    )
    assert elsewhere.parts == (
        ResolvedPart(name="pixel", weight=0.1, source="ours"),
        ResolvedPart(name="region", weight=2e-5, source="transferred", transfer=moved),
    )


@pytest.mark.parametrize(
    ("group", "batch", "fitting"),
    [("2", 8, 2), ("6", 8, 4), ("6", 12, 6), ("16", 8, 8), ("2", 1, 1), ("2", 7, 1), ("4", 6, 3), ("1", 8, 1)],
)
@pytest.mark.parametrize("dataset", ["voc", "streets"])
def test_a_group_is_the_largest_of_at_most_the_authors_that_divides_the_batch(term, group, batch, fitting, dataset):
    """With another group than theirs a weight is no longer theirs, be it for the data set or for all others."""
    path = term(weight="{voc: 1.0, default: 1.0}", source="authors", more=f"    group: {group}\n")
    [found] = resolve_method(path, dataset, batch).terms
    assert found.group == fitting
    assert found.source == ("authors" if fitting == int(group) else "transferred")


def test_parts_are_no_longer_the_authors_either_when_the_group_is_not(write):
    """Each of them."""
    [found] = resolve_method(write(PARTS + "    group: 6\n"), "voc", 8).terms
    assert (found.group, found.source) == (4, "transferred")
    assert [part.source for part in found.parts] == ["transferred", "transferred"]


def test_a_group_may_be_a_table_by_data_set(term):
    """With a default, like the weights."""
    path = term(more="    group: {voc: 1, ade20k: 2, default: 4}\n")
    assert [resolve_method(path, name, 8).terms[0].group for name in ("voc", "ade20k", "streets")] == [1, 2, 4]


def test_terms_have_groups_of_their_own(write):
    """One couples two images, the other none."""
    one = "  - {loss: mse, at: logits, weight: {default: 1.0}, source: ours"
    found = resolve_method(write(f"terms:\n{one}, group: 2}}\n{one}}}\n"), "x", 4)
    assert [term.group for term in found.terms] == [2, None]


def test_a_preparation_is_a_share_of_the_budget(write, term):
    """0 where nothing is prepared."""
    lines = "terms:\n  - {loss: mse, at: logits, weight: {default: 1.0}, source: ours}\n"
    assert resolve_method(write(lines, more="preparation: {share: 0.2}\n"), "x", 1).preparation_share == 0.2
    assert resolve_method(write(lines), "x", 1).preparation_share == 0.0


def test_scaled_multiplies_every_weight_and_says_so(write):
    """Its name and its source tell; where a weight is to be moved it still is."""
    lines = PARTS + "  - {loss: mse, at: logits, weight: {default: 3.0}, source: authors}\n"
    method = resolve_method(write(lines), "streets", 8)
    found = scaled(method, 0.5)
    bank, mse = found.terms
    assert found.name == "mine_x0.5"
    assert [part.weight for part in bank.parts] == [0.05, 1e-5]
    assert [part.transfer for part in bank.parts] == [part.transfer for part in method.terms[0].parts]
    assert (bank.weight, mse.weight) == (1.0, 1.5)
    assert {bank.source, mse.source, *(part.source for part in bank.parts)} == {"ours"}
    assert found.digest != method.digest


def test_scaled_by_one_is_the_method_itself(term):
    """A grid's middle is what its descriptor says, under its own name."""
    method = resolve_method(term(), "x", 1)
    assert scaled(method, 1.0) is method


def digest(path: Path, dataset: str = "streets", batch: int = 8) -> str:
    return resolve_method(path, dataset, batch).digest


def test_a_digest_changes_with_what_a_method_computes(write, term, folder):
    """Its weight, taps, settings, source, group, preparation, transfer and Python."""
    transfer = "    transfer: {{origin: default, positions: {}, scales_with: N}}\n"
    changes = [
        {},
        {"weight": "{default: 2.0}"},
        {"at": "decoded"},
        {"at": "[logits]"},
        {"more": "    with: {temperature: 2.0}\n"},
        {"source": "authors"},
        {"more": "    group: 2\n"},
        {"more": "    group: 4\n"},
        {"more": transfer.format(4)},
        {"more": transfer.format(8)},
    ]
    found = [digest(term(**change)) for change in changes]
    prepared = term().read_text().removeprefix("title: Mine\nfamily: general\nnotes: none\n")
    found.append(digest(write(prepared, more="preparation: {share: 0.2}\n")))
    (folder / "mine.py").write_text(LOSSES + "\n# another line\n")
    found.append(digest(term()))
    assert len(set(found)) == len(found)


def test_a_digest_changes_with_what_its_python_imports(term, folder, shipped):
    """However indirectly, as long as it ships with bench."""
    (folder / "mine.py").write_text("from methods.theirs import warm as theirs\n" + LOSSES)
    (shipped / "theirs.py").write_text("from methods.further import more\n")
    (shipped / "further.py").write_text("more = 1\n")
    (shipped / "unused.py").write_text("")
    method = resolve_method(term(), "x", 1)
    (shipped / "unused.py").write_text("more = 2\n")
    must_be_as_planned(method)
    (shipped / "further.py").write_text("more = 2\n")
    assert digest(term(), "x", 1) != method.digest
    with pytest.raises(BadInput, match=r"^mine: its Python, or harness/distill, has changed since it was planned"):
        must_be_as_planned(method)


def test_a_digest_keeps_to_what_a_method_computes(term):
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


def ship(folder: Path, name: str, more: str = "") -> None:
    lines = "terms: [{loss: mse, at: logits, weight: {default: 1.0}, source: ours}]"
    family = "general"
    if name == "baseline":
        lines, family = "terms: []", "baseline"
    (folder / f"{name}.yaml").write_text(f"title: One\nfamily: {family}\nnotes: none\n{more}{lines}\n")


def test_the_baseline_comes_first_and_then_the_alphabet(shipped):
    """As `bench methods list` shows them, variants included."""
    for name in ("zeta", "baseline", "alpha_fixed", "alpha"):
        ship(shipped, name, "variant_of: alpha\n" if name == "alpha_fixed" else "")
    assert shipped_methods() == ("baseline", "alpha", "alpha_fixed", "zeta")


def test_variants_are_no_part_of_all(shipped):
    """`--methods all` runs each method in its plain form."""
    for name in ("zeta", "baseline", "alpha_fixed", "alpha"):
        ship(shipped, name, "variant_of: alpha\n" if name == "alpha_fixed" else "")
    assert all_methods() == ("baseline", "alpha", "zeta")


def test_a_name_or_a_path_finds_a_descriptor(shipped):
    """A path is taken as it is; a name must be shipped."""
    (shipped / "cwd.yaml").touch()
    assert method_path("cwd") == shipped / "cwd.yaml"
    assert method_path("my/own.yml") == Path("my/own.yml")


def test_an_unknown_name_is_told_with_the_nearest(shipped):
    """And where to see them all."""
    (shipped / "cwd.yaml").touch()
    with pytest.raises(BadInput) as caught:
        method_path("cdw")
    assert str(caught.value) == "no method 'cdw' (did you mean 'cwd'?): see `bench methods list`"
