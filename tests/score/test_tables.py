"""Boards as CSV and Markdown."""

import csv
import io

from harness.score.leaderboard import boards
from harness.score.runs import runs_of
from harness.score.tables import CSV_HEADER, to_csv, to_markdown
from tests.factories import record

RUNS = [
    *(record("baseline", seed, 0.5 + 0.01 * seed) for seed in range(2)),
    *(record("kd", seed, 0.55 + 0.02 * seed, title="KD | <b>soft</b> `labels`") for seed in range(2)),
    *(record("at", seed, ending="out_of_memory", reason="9 GiB", cost_ratio=None) for seed in range(2)),
]


def test_csv_has_a_row_a_method_with_fractions_and_empty_cells():
    """A program reads it back without guessing."""
    rows = list(csv.DictReader(io.StringIO(to_csv(boards(runs_of(RUNS))))))

    assert tuple(rows[0]) == CSV_HEADER
    assert [(row["method"], row["rank"], row["above_the_line"]) for row in rows] == [
        ("kd", "1", "True"),
        ("baseline", "2", "True"),
        ("at", "", "False"),
    ]
    assert float(rows[0]["miou"]) == 0.56
    assert (rows[2]["miou"], rows[2]["gain"], rows[2]["cost_ratio"]) == ("", "", "")
    assert rows[2]["why"] == "out_of_memory: seeds 0, 1 (9 GiB)"


def test_markdown_shows_who_is_below_the_line_and_why():
    """Each section stands alone: heading facts, ranking, reasons."""
    text = to_markdown(boards(runs_of(RUNS)))

    assert "## Streets, drawn scenes · 90s · Test CPU, 1 thread" in text
    assert "**demonstration** Drawn scenes" in text
    assert (
        text.index("| 1 (1–2) | kd")
        < text.index("Below the line")
        < text.index(r"- `at`: out\_of\_memory: seeds 0, 1 (9 GiB)")
    )


def test_markdown_leaves_a_strangers_text_as_text():
    """No column, tag or code span more than was meant."""
    text = to_markdown(boards(runs_of(RUNS)))

    assert r"KD \| &lt;b&gt;soft&lt;/b&gt; \`labels\`" in text
    assert "<b>" not in text


def test_markdown_of_no_board_is_empty():
    """Nothing in, nothing out."""
    assert to_markdown(()) == ""
