"""What the frames hold, column by column: the one list that frames are built by and docs/frames.md is made of."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from harness.ledger.record import Times
from harness.score import Table

Dtype = Literal["object", "int64", "int32", "Int64", "float64", "bool"]


class Column(NamedTuple):
    """A column of a frame; `object` is text, missing as None, and missing numbers are NaN, or NA in Int64."""

    name: str
    dtype: Dtype
    unit: str
    says: str


class Layout(NamedTuple):
    """A frame: what a row of it is, and its columns in order."""

    row: str
    columns: tuple[Column, ...]


ENTRIES = ", ".join(f"`{name}`" for name in Times.model_fields if name != "process")

RUNS = (
    Column("track", "object", "", "the board: workload digest × budget × device class × pace × rules, as a digest"),
    Column("workload", "object", "", "its name"),
    Column("workload_title", "object", "", "its title"),
    Column("standing", "object", "", "`benchmark`, `smoke test` or `demonstration`"),
    Column("caveat", "object", "", "what a reader of the workload's board must know"),
    Column("workload_digest", "object", "", "all that the workload fixes, as a digest"),
    Column("method", "object", "", "its name; `baseline` is the student alone"),
    Column("method_digest", "object", "", "the method's version"),
    Column("title", "object", "", "the method's title"),
    Column("family", "object", "", "`baseline`, `canonical`, `general` or `segmentation`"),
    Column("sources", "object", "words", "where the weights of the method's terms come from"),
    Column("variant_of", "object", "", "the method of which this one is another form; None of one that is none"),
    Column("seed", "int64", "", "of student and batches: a seed's runs pair across methods"),
    Column("budget", "object", "", "as it was written: `90s`, `40k it of kd`"),
    Column("pace", "object", "", "`clock` stops by the clock, `iterations` after the planned number"),
    Column("device", "object", "", "the device class in words"),
    Column("device_class", "object", "", "the device class, as a digest"),
    Column("device_detail", "object", "", "what the device class holds beyond its name"),
    Column("rules", "int64", "", "version of docs/rules.md"),
    Column("ending", "object", "", "`done`, or why it ended otherwise: `diverged`, `out_of_memory`, `hung`, …"),
    Column("reason", "object", "", "of an ending other than done; empty of one that is done"),
    Column("marks", "object", "words", "what is held against the run: `off_budget`, `cost_uncertain`, …"),
    Column("planned_iterations", "int64", "iterations", "in clock pace an estimate"),
    Column("replanned_iterations", "Int64", "iterations", "what the plan was changed to on the way; NA where it held"),
    Column("iterations", "int64", "iterations", "done"),
    Column("preparation_iterations", "int64", "iterations", "of what the method learned before it distilled, paid for"),
    Column("images", "int64", "images", "trained on, repetitions counted"),
    Column("epochs", "float64", "epochs", "passes over the training split"),
    Column("budget_seconds", "float64", "seconds", "NaN for a budget that is no time"),
    Column("spent_seconds", "float64", "seconds", "by the budget clock"),
    Column("wall_seconds", "float64", "seconds", "of the wall while that clock ran"),
    Column("device_hours", "float64", "device-hours", "`spent_seconds` on every device"),
    Column("miou", "float64", "fraction", "of the final weights on the score split; NaN for a run that was not scored"),
    Column("miou_absent_zero", "float64", "fraction", "over all classes, one without any pixel counting 0"),
    Column("miou_predicted", "float64", "fraction", "over the classes that labels or predictions hold"),
    Column("pixel_accuracy", "float64", "fraction", "of the labelled pixels"),
    Column("scored_images", "Int64", "images", "of the score split"),
    Column("teacher_miou", "float64", "fraction", "on the same split"),
    Column("teacher_hours", "float64", "device-hours", "of the teacher's own training, charged to no run"),
    Column("cost_seconds", "float64", "seconds", "an iteration's price, as planned; NaN where it was not measured"),
    Column("cost_ratio", "float64", "×", "the price over the baseline's"),
    Column("cost_ratio_low", "float64", "×", "lower end of its 95 % interval"),
    Column("cost_ratio_high", "float64", "×", "upper end of its 95 % interval"),
    Column("witness_cpu_seconds", "float64", "seconds", "of the process, as the sweep saw it from outside"),
    Column("witness_wall_seconds", "float64", "seconds", "of the process, as the sweep saw it from outside"),
    Column("disagreements", "object", "; between", "where the run's account of its time and the sweep's differ"),
    Column("warnings", "object", "; between", "what went wrong beside and was mended, as a torn checkpoint"),
    Column("energy_kwh", "float64", "kWh", "of the device from the clock's first start to its last stop"),
    Column("peak_memory_bytes", "Int64", "bytes", "the most held on the device at once; NA on a CPU"),
    Column("parameters", "Int64", "", "of the student"),
    Column("concurrency", "int64", "runs", "that were to share the machine"),
    Column("host", "object", "", "empty where the run left no account"),
    Column("key", "object", "", "names the run; the record is runs/KEY.ATTEMPT.json"),
    Column("attempt", "int64", "", "the last one"),
    Column("started", "object", "UTC, ISO 8601", ""),
    Column("ended", "object", "UTC, ISO 8601", ""),
    Column("phases_of", "float64", "seconds", "an iteration, timed without the marks between phases"),
    Column("flops", "Int64", "FLOPs", "of an iteration"),
    Column("log_tail", "object", "", "the end of the log, for endings other than done"),
    Column("student_sha256", "object", "", "the trained weights; None where there are none"),
    Column("teacher_sha256", "object", "", "the teacher's weights"),
    Column("data_sha256", "object", "", "the data's bytes"),
    Column("software", "object", "", "versions and platform of the run's process"),
    Column("current", "bool", "", "whether no later version of the method ran on this track"),
    Column("baseline_miou", "float64", "fraction", "of the current baseline at the same seed of the same track"),
    Column("gain", "float64", "fraction", "`miou` − `baseline_miou`"),
)

RUN = tuple(
    next(column for column in RUNS if column.name == name)
    for name in ("track", "method", "current", "seed", "key", "attempt")
)
"""Which run a row is of; `key` joins it to the runs."""

VERSION = tuple(
    next(column for column in RUNS if column.name == name) for name in ("track", "method", "method_digest", "current")
)

EVALUATIONS = (
    *RUN,
    Column("images", "int64", "images", "that were scored"),
    Column("measure", "object", "", "`miou`, `miou_absent_zero`, `miou_predicted` or `pixel_accuracy`, as in the runs"),
    Column("value", "float64", "fraction", ""),
)

COST = Column("cost", "int64", "", "numbers the prices from 0 on: joins the costs to their phases")

COSTS = (
    COST,
    *VERSION,
    Column("runs", "int64", "runs", "that were planned with this price"),
    Column("seconds", "float64", "seconds", "an iteration"),
    Column("ratio", "float64", "×", "over the baseline's iteration"),
    Column("ratio_low", "float64", "×", "lower end of its 95 % interval"),
    Column("ratio_high", "float64", "×", "upper end of its 95 % interval"),
    Column("flops", "Int64", "FLOPs", "of an iteration; NA where they were not counted"),
    Column("phases_of", "float64", "seconds", "an iteration, timed without the marks between phases"),
)

PHASES = (
    COST,
    *VERSION,
    Column("phase", "object", "", "`data`, `copy`, `teacher`, `student`, …; each term under its own name"),
    Column(
        "seconds", "float64", "seconds", "an iteration; with the marks between phases, they add up to the iteration"
    ),
)

TIME = (
    *RUN,
    Column("entry", "object", "", f"what the process did: {ENTRIES}"),
    Column("seconds", "float64", "seconds", "of the wall; a run's entries add up to its process"),
)

CURVES = (
    *RUN,
    Column("iteration", "int64", "iterations", "done so far"),
    Column("spent_seconds", "float64", "seconds", "by the budget clock so far"),
    Column("task_loss", "float64", "nats", "mean since the point before"),
)

CLASSES = (
    *RUN,
    Column("class_index", "int64", "", "as in the label maps, from 0"),
    Column("class_name", "object", "", "as the workload has it"),
    Column("iou", "float64", "fraction", "NaN for a class that the labels do not hold"),
    Column(
        "intersection", "Int64", "pixels", "labelled and predicted as the class, over all images; NA without counts"
    ),
    Column("union", "Int64", "pixels", "labelled or predicted as the class; NA without counts"),
    Column("labelled", "Int64", "pixels", "labelled as the class, whatever was predicted; NA without counts"),
)

IMAGES = (
    *RUN,
    Column("image", "int32", "", "its place in the score split, from 0"),
    Column("class_index", "int32", "", "as in the label maps, from 0"),
    Column("class_name", "object", "", "as the workload has it"),
    Column("intersection", "int64", "pixels", "labelled and predicted as the class"),
    Column("union", "int64", "pixels", "labelled or predicted as the class"),
    Column("labelled", "int64", "pixels", "labelled as the class, whatever was predicted"),
)

TABLES: Mapping[Table, Layout] = {
    "runs": Layout("A run: the last attempt of its key.", RUNS),
    "evaluations": Layout("A scored run and a measure.", EVALUATIONS),
    "costs": Layout("A price that a version of a method had on a track.", COSTS),
    "phases": Layout("A price and a phase of its iteration. A price without phases has no row.", PHASES),
    "time": Layout(
        "A run and an entry of its ledger of time, also one that is 0. A run that left no account has no row.",
        TIME,
    ),
    "curves": Layout("A run and a point on its way. A point is no end point: the schedule was not over.", CURVES),
    "classes": Layout("A scored run and a class, the pixels of all images together.", CLASSES),
    "images": Layout(
        "A scored run, an image and a class, from the counts beside the record (runs/KEY.ATTEMPT.npz). Ignored pixels "
        "are in none of them. A run without counts has no row, and a warning says how many such runs there are.",
        IMAGES,
    ),
}

OPENING = """\
# Frames

    from harness.score import load

    frame = load("results")                  # the runs
    frame.groupby("method").miou.agg(["mean", "count"])
    classes = load("results", "classes")     # any other table, by its name

Every table is a tidy pandas frame of a results folder: of every key the last attempt, in the order of track, method,
version, seed. An empty or missing folder gives an empty frame of the same columns and types. What is missing is
missing, never 0: None in text (`object`), NaN in `float64`, NA in `Int64`. Fractions are fractions, not percent. A file
that is no record is left out, and a warning names it.

Runs of several tracks, and of earlier versions of a method, stand together: `frame[frame.current]` and
`groupby("track")` part them. `key` joins a table to the runs, `cost` the costs to their phases.

This file is made of `harness/score/columns.py`, and a test holds the two together:

    python -c 'from harness.score.columns import markdown; print(markdown(), end="")' > docs/frames.md
"""


def markdown() -> str:
    """docs/frames.md, whole."""
    return "\n".join((OPENING, *(_section(name, layout) for name, layout in TABLES.items())))


def _section(name: str, layout: Layout) -> str:
    lines = (f"| `{column.name}` | {column.dtype} | {column.unit} | {column.says} |" for column in layout.columns)
    return "\n".join(
        (f"## {name}", "", layout.row, "", "| column | dtype | unit | says |", "|---|---|---|---|", *lines, "")
    )
