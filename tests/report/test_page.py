"""`bench report`: what is written, what it says, what it refuses."""

import re
from html.parser import HTMLParser
from typing import get_args

import pytest

from harness.ledger.endings import Ending, Mark
from harness.ledger.errors import BadInput
from harness.ledger.record import Record
from harness.ledger.rules import RULES_VERSION
from harness.report.page import build, make, render, sheets, whisker
from harness.report.picture import Picture
from harness.report.studio import Studio, picture
from harness.score.leaderboard import boards
from harness.score.runs import runs_of
from harness.score.store import read_results
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


class BlankSheets(Studio):
    """Does everything but draw: the page's words need no figures."""

    def __init__(self) -> None:
        super().__init__(processes=1)

    def do(self, work, /, *args, **kwargs):
        blank = {"title": "A figure", "caption": "", "svg": "<svg/>", "png": b""}
        return (
            super().do(lambda: Picture(name=args[2], **blank)) if work is picture else super().do(work, *args, **kwargs)
        )


def page_of(results) -> str:
    """The page on a results folder, its figures blank."""
    return render(make(read_results(results), BlankSheets()))


def parsed(results) -> Text:
    reader = Text()
    reader.feed(page_of(results))
    return reader


def words(results) -> str:
    """All text of the page, on one line."""
    return " ".join(" ".join(parsed(results).texts).split())


def test_the_report_is_a_page_tables_and_figures(tmp_path):
    """Everything is there after one call, figures as SVG and PNG; two builds are the same to the byte."""
    save(tmp_path / "results", *runs())
    for folder in ("a", "b"):
        build(tmp_path / "results", tmp_path / folder)
    written = {path.relative_to(tmp_path / "a").as_posix(): path.read_bytes() for path in (tmp_path / "a").rglob("*.*")}
    again = {path.relative_to(tmp_path / "b").as_posix(): path.read_bytes() for path in (tmp_path / "b").rglob("*.*")}
    figures = sorted(name for name in written if name.startswith("figures/"))

    assert set(written) - set(figures) == {"index.html", "leaderboard.csv", "leaderboard.md", "runs.csv"}
    assert [name[:-3] + "png" for name in figures if name.endswith("svg")] == figures[::2]
    assert any("miou-over-spending" in name for name in figures)
    assert any("scaling" in name for name in figures)
    assert written == again


def test_the_page_stands_alone(tmp_path):
    """Nothing outside itself and its own folder is loaded; papers and code are linked, and only those."""
    save(tmp_path, *runs())
    page = page_of(tmp_path)

    inside = ("#", "data:", "leaderboard.", "runs.csv", "figures/")
    links = set(re.findall(r'(?:src|href)="?([^" >]*)', page))
    outside = [link for link in links if not link.startswith(inside)]
    assert all(link.startswith(("https://arxiv.org/abs/", "https://github.com/")) for link in outside), outside
    assert re.findall(r'(?:src|<link[^>]*href)="?(?!data:)([^" >]+)', page) == []
    assert "url(http" not in page


def test_a_board_is_headed_by_what_was_held_fixed(tmp_path):
    """Workload, standing, caveat, budget, device class, pace, rules, teacher."""
    save(tmp_path, *runs())
    text = words(tmp_path)

    for fact in ("Streets, drawn scenes", "demonstration", "says nothing about real data", "Budget 90s", "Budget 6m"):
        assert fact in text
    for fact in ("Test CPU, 1 thread", "float32, torch 2.8", f"version {RULES_VERSION}", "72.0 % mIoU"):
        assert fact in text
    assert "diverged: seeds 0, 1 (loss is not finite)" in text


def test_a_strangers_text_is_text(tmp_path):
    """A title, a host, a reason, a workload's prose, a class or a name with markup in it opens no tag."""
    attack = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}'
    name = attack.replace("/", "")  # with one it is no name, and its record is refused
    named = workload(title=attack, caveat=attack, classes=(attack, "road", "sky", "car"))
    held = ground(name, of=named, device=device_class(model=attack))
    older = {"on": held, "rules": RULES_VERSION - 1}  # whose keys, and so whose files' names, may be anything
    save(tmp_path, record("baseline", **older), record(name, title=attack, host=attack, **older))
    save(tmp_path, record("kd", ending="failed", reason=attack, **older))
    harmless = tmp_path / "harmless"
    save(harmless, record("baseline"), record("evil"), record("kd", ending="failed", reason="disk"))
    reader, plain = parsed(tmp_path), parsed(harmless)

    assert [tag for tag in reader.tags if tag in {"script", "img"}] == [tag for tag in plain.tags if tag == "script"]
    assert "onerror" not in reader.attributes
    assert "".join(reader.texts).count("<script>alert(1)</script>") >= 4
    assert "{{ 7 * 7 }}" in "".join(reader.texts)


def test_figures_stay_in_their_folder(tmp_path):
    """A workload's name is no path."""
    save(tmp_path, record(on=ground("..evil .."), rules=RULES_VERSION - 1))
    names = [sheet.name for sheet in sheets(make(read_results(tmp_path), BlankSheets()))]

    assert any("evil" in name for name in names)
    assert all(re.fullmatch(r"(figures/)?[a-z0-9-]+\.[a-z]+", name) for name in names)


def test_every_mark_and_ending_is_explained(tmp_path):
    """The closed lists of the ledger, each word on the page."""
    save(tmp_path, record())
    text = words(tmp_path)

    assert [word for word in (*get_args(Mark), *get_args(Ending)) if word not in text] == []


def test_results_without_a_record_are_bad_input(tmp_path):
    """The message names the folder and the command that fills it; nothing is written."""
    with pytest.raises(BadInput, match=r"no record.*bench run --methods all"):
        build(tmp_path / "results", tmp_path / "reports")

    assert not (tmp_path / "reports").exists()


def test_results_of_nothing_but_broken_files_are_bad_input(tmp_path):
    """There is nothing to show; the first file is named, and how many more there are."""
    (tmp_path / "runs").mkdir()
    for name in ("a.1.json", "b.1.json"):
        (tmp_path / "runs" / name).write_text("{")

    with pytest.raises(BadInput, match=r"a\.1\.json: file: not JSON.*, and 1 more"):
        build(tmp_path, tmp_path / "reports")


def test_files_that_are_no_records_are_named_and_the_rest_is_shown(tmp_path):
    """Cut off, of a later format, NaN, renamed, twice the same run: each with what is wrong."""
    held = record("kd")
    save(tmp_path, record("baseline"), held)
    text = (tmp_path / "runs" / f"{held.spec.name}.json").read_text()
    older = record("kd", rules=RULES_VERSION - 1)
    twice = older.model_copy(update={"spec": older.spec.model_copy(update={"key": "zz-copy"})})
    save(tmp_path, older, twice)
    files = {
        "cut.1.json": text[:50],
        "later.1.json": text.replace('"format": 1', '"format": 2'),
        "nan.1.json": text.replace('"seed": 0', '"seed": NaN'),
        "renamed.1.json": text,
        "notes.json": "{}",
        "<b>.1.json": "[]",
    }
    for name, content in files.items():
        (tmp_path / "runs" / name).write_text(content)
    reader = parsed(tmp_path)
    said = " ".join(" ".join(reader.texts).split())

    for name in (*files, "zz-copy.1.json"):
        assert name in said
    for why in ("later version of bench", "the same run as", "keeps the name it was written under", "no record's name"):
        assert why in said
    assert len(read_results(tmp_path).runs) == 3


def test_counts_that_cannot_be_used_are_named(tmp_path):
    """A file that is there by its name, those that are not there by their number."""
    save(tmp_path, record("baseline"), record("kd"), record("cwd"))
    (tmp_path / "runs" / f"{record('kd').spec.name}.npz").write_bytes(b"no counts")
    text = words(tmp_path)

    assert f"{record('kd').spec.name}.npz" in text
    assert f"{record('cwd').spec.name}.npz" not in text
    assert "No counts for 2 of its runs: no interval over images from them." in text


def test_the_lead_counts_the_methods_of_the_runs(tmp_path):
    """Not the baseline that nobody ran."""
    save(tmp_path, record("kd"), record("cwd"))
    assert "2 methods, 2 runs" in words(tmp_path)


def test_a_method_of_a_second_group_links_to_its_description(tmp_path):
    """Two devices: the paper stands in the first section alone."""
    other = ground(device=device_class(model="Other CPU"))
    save(tmp_path, *(record(name, on=on) for name in ("baseline", "cwd") for on in (ground(), other)))
    page = page_of(tmp_path)

    (place,) = set(re.findall(r'Paper, notes and descriptor: <a href="#(m1-[^"]*)">', page)) - {"m1-" + record(
        "baseline").spec.method.digest[:8]}  # fmt: skip
    assert page.count(f'<div id="{place}">') == 1
    assert page.count("https://arxiv.org/abs/2011.13256") == 1


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    """A file stands where the folder should be."""
    save(tmp_path, record())
    (tmp_path / "reports").write_text("")

    with pytest.raises(BadInput, match=r"--out: .*cannot be written") as error:
        build(tmp_path, tmp_path / "reports")
    assert "\n" not in str(error.value)


def test_a_whisker_lies_within_its_plot():
    """Zero, mean and interval on one scale for the whole board."""
    (board,) = boards(runs_of([each for each in runs() if each.spec.budget == "90s"]))
    shown = {row.method: whisker(row, board) for row in board.rows}

    assert shown["baseline"] is None
    assert shown["at"] is None
    assert 0 <= shown["kd"].low < shown["kd"].mean < shown["kd"].high <= 100
    assert shown["kd"].zero == shown["cwd"].zero
    assert shown["kd"].mean < shown["cwd"].mean


def test_accounts_that_differ_stand_beside_the_run(tmp_path):
    """What the run says of its time and what the sweep saw, where they part."""
    said = "the clock says 9.00 s, the ledger has 7.00 s"
    save(tmp_path, record("baseline"), record("kd").model_copy(update={"disagreements": (said,)}))
    assert said in page_of(tmp_path)
