"""`bench report`: what is written, what it says, what it refuses."""

import re
from html.parser import HTMLParser
from typing import get_args

import pytest

from harness.ledger.endings import Ending, Mark
from harness.ledger.errors import BadInput
from harness.ledger.record import Record
from harness.ledger.rules import RULES_VERSION
from harness.report import build
from harness.report.page import grouped, whisker
from harness.score.leaderboard import boards
from harness.score.store import frame_of
from tests.factories import device_class, ground, record, save, workload


def runs() -> list[Record]:
    """Three methods and the baseline, two seeds, two budgets; one of them fails."""
    return [
        each
        for budget in ("90s", "6m")
        for seed in range(2)
        for each in (
            record("baseline", seed, 0.50 + 0.01 * seed, budget=budget),
            record("kd", seed, 0.54 + 0.011 * seed, budget=budget),
            record("cwd", seed, 0.55 + 0.008 * seed, budget=budget, family="segmentation"),
            record("at", seed, budget=budget, ending="diverged", reason="loss is not finite", family="general"),
        )
    ]


class Text(HTMLParser):
    """What a reader sees: text outside of style and script, and the tags that were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]

    def handle_data(self, text):
        self.texts.append(text)


def parsed(page) -> Text:
    reader = Text()
    reader.feed(page.read_text())
    return reader


def test_the_report_is_a_page_tables_and_figures(tmp_path):
    """Everything that the design names, under the names it gives."""
    save(tmp_path / "results", *runs())
    page = build(tmp_path / "results", tmp_path / "reports")

    assert page == tmp_path / "reports" / "index.html"
    written = {path.relative_to(tmp_path / "reports").as_posix() for path in (tmp_path / "reports").rglob("*.*")}
    assert {"index.html", "leaderboard.csv", "leaderboard.md"} < written
    assert sorted(name.rpartition(".")[2] for name in written if name.startswith("figures/")) == ["png", "svg"]


def test_the_page_stands_alone(tmp_path):
    """No address outside itself and its own folder is loaded or linked."""
    save(tmp_path, *runs())
    page = build(tmp_path, tmp_path / "reports").read_text()

    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert [link for link in links if not link.startswith(("#", "data:", "leaderboard.", "figures/"))] == []
    assert "url(http" not in page


def test_a_board_is_headed_by_what_was_held_fixed(tmp_path):
    """Workload, standing, caveat, budget, device class, pace, rules, teacher."""
    save(tmp_path, *runs())
    text = " ".join(" ".join(parsed(build(tmp_path, tmp_path / "reports")).texts).split())

    for fact in ("Streets, drawn scenes", "demonstration", "says nothing about real data", "Budget 90s", "Budget 6m"):
        assert fact in text
    for fact in ("Test CPU, 1 thread", "float32, torch 2.8", "pace clock", f"version {RULES_VERSION}", "72.0 % mIoU"):
        assert fact in text
    assert "diverged: seeds 0, 1 (loss is not finite)" in text


def test_two_builds_are_the_same_to_the_byte(tmp_path):
    """No date, no random id: a diff of two reports shows what changed in the results."""
    save(tmp_path, *runs())
    first, second = (build(tmp_path, tmp_path / name).parent for name in ("a", "b"))

    for path in sorted(first.rglob("*.*")):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes(), path.name


def test_a_strangers_text_is_text(tmp_path):
    """A title, a host, a reason, a workload's prose or a name with markup in it opens no tag."""
    attack = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}'
    held = ground(attack, of=workload(title=attack, caveat=attack), device=device_class(model=attack))
    save(tmp_path, record("baseline", on=held), record(attack, title=attack, host=attack, on=held))
    save(tmp_path, record("kd", ending="failed", reason=attack, on=held))
    reader = parsed(build(tmp_path, tmp_path / "reports"))

    assert reader.tags.count("script") == 1
    assert "img" not in reader.tags
    assert "onerror" not in reader.attributes
    assert "".join(reader.texts).count("<script>alert(1)</script>") >= 6
    assert "{{ 7 * 7 }}" in "".join(reader.texts)


def test_figures_stay_in_their_folder(tmp_path):
    """A workload's name is no path."""
    save(tmp_path / "results", record(on=ground("../../../evil")))
    build(tmp_path / "results", tmp_path / "reports")

    assert {path.parent for path in tmp_path.rglob("*evil*")} == {tmp_path / "reports" / "figures"}


def test_every_mark_and_ending_is_explained(tmp_path):
    """The closed lists of the ledger, each word on the page."""
    save(tmp_path, record())
    text = " ".join(parsed(build(tmp_path, tmp_path / "reports")).texts)

    assert [word for word in (*get_args(Mark), *get_args(Ending)) if word not in text] == []


def test_results_without_a_record_are_bad_input(tmp_path):
    """The message names the folder and the command that fills it; nothing is written."""
    with pytest.raises(BadInput, match=r"no record.*bench run --methods all"):
        build(tmp_path / "results", tmp_path / "reports")

    assert not (tmp_path / "reports").exists()


def test_a_record_that_cannot_be_read_leaves_the_last_report_as_it_was(tmp_path):
    """The whole report is made before any of it is written."""
    save(tmp_path, *runs())
    page = build(tmp_path, tmp_path / "reports")
    before = page.read_bytes()
    (tmp_path / "runs" / "x.1.json").write_text("{")

    with pytest.raises(BadInput, match=r"x\.1\.json"):
        build(tmp_path, tmp_path / "reports")
    assert page.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    """A file stands where the folder should be."""
    save(tmp_path, record())
    (tmp_path / "reports").write_text("")

    with pytest.raises(BadInput, match=r"--out: .*cannot be written") as error:
        build(tmp_path, tmp_path / "reports")
    assert "\n" not in str(error.value)


def test_boards_that_differ_in_budget_alone_share_a_figure():
    """Another device is another group; a group without a finished run has no figure."""
    other = ground(device=device_class(model="Other CPU"))
    groups = grouped(boards(frame_of([*runs(), record(on=other, ending="failed", reason="disk")])))

    assert [len(group.boards) for group in groups] == [1, 2]
    assert [group.picture is not None for group in groups] == [False, True]


def test_a_whisker_lies_within_its_plot():
    """Zero, mean and interval on one scale for the whole board."""
    (board,) = boards(frame_of([each for each in runs() if each.spec.budget == "90s"]))
    shown = {row.method: whisker(row, board) for row in board.rows}

    assert shown["baseline"] is None
    assert shown["at"] is None
    assert 0 <= shown["kd"].low < shown["kd"].mean < shown["kd"].high <= 100
    assert shown["kd"].zero == shown["cwd"].zero
    assert shown["kd"].mean < shown["cwd"].mean


def test_accounts_that_differ_stand_beside_the_run(tmp_path):
    """What the run says of its time and what the sweep saw, where they part."""
    held = record("kd").model_copy(update={"disagreements": ("the clock says 9.00 s, the ledger has 7.00 s",)})
    save(tmp_path, record("baseline"), held)
    said = "accounts differ: the clock says 9.00 s, the ledger has 7.00 s"
    assert parsed(build(tmp_path, tmp_path / "reports")).texts.count(said) == 1
