"""What `bench report` costs: the whole process and the page's size, for a thousand runs and for ten thousand.

    PYTHONPATH=. python tests/speed/report.py

One workload, 25 methods, four budgets, and as many seeds as make the number of runs: records as long as those of real
runs (a curve of 20 points, phases, 11 classes, counts of 32 images). benchopt, the nearest peer, took 1.5 s and 339 KB
for a thousand rows and 4.4 s and 1.6 MB for ten thousand, besides libraries from a CDN.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from harness.ledger.descriptor import all_methods
from harness.ledger.files import write
from harness.ledger.record import Point, Record, Scores, Times
from harness.ledger.results import counts_path
from tests.factories import ground, record, workload

BUDGETS = ("20s", "40s", "80s", "160s")
METHODS = all_methods()[:25]
CLASSES = ("sky", "road", "pavement", "building", "tree", "pole", "sign", "fence", "car", "pedestrian", "bicyclist")
IMAGES = 32
REPEATS = 3


def main() -> None:
    """Prints the table."""
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores; best and median of {REPEATS}, seconds of wall time")
    print(f"{'runs':>6}  {'best':>6}  {'median':>6}  {'page':>9}  {'figures':>8}")
    for seeds in (10, 100):
        with tempfile.TemporaryDirectory() as folder:
            results, out = Path(folder) / "results", Path(folder) / "reports"
            fill(results, seeds)
            told(len(METHODS) * len(BUDGETS) * seeds, results, out)


def told(runs: int, results: Path, out: Path) -> None:
    """Measures the process and prints its line."""
    command = [str(Path(sys.executable).with_name("bench")), "report", "--results", str(results), "--out", str(out)]
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    page, figures = (out / "index.html").stat().st_size, len(list((out / "figures").glob("*.svg")))
    middle = float(np.median(seconds))
    print(f"{runs:6}  {min(seconds):6.2f}  {middle:6.2f}  {page / 1000:6.0f} kB  {figures:8}")


def fill(results: Path, seeds: int) -> None:
    """Records and counts of every method, budget and seed."""
    draw, on = np.random.default_rng(0), ground(of=workload(classes=CLASSES))
    (results / "runs").mkdir(parents=True)
    for seed in range(seeds):
        luck = draw.normal(0, 0.005)
        for at, name in enumerate(METHODS):
            family = "baseline" if at == 0 else ("canonical", "general", "segmentation")[at % 3]
            for step, budget in enumerate(BUDGETS):
                miou = 0.3 + 0.002 * at + 0.04 * step + luck + draw.normal(0, 0.003)
                made = record(
                    name, seed, miou, family=family, on=on, budget=budget, cost_ratio=1 + 0.1 * at, iterations=4000
                )
                write(results / "runs" / f"{made.spec.name}.json", filled(made, miou, draw))
                save_counts(counts_path(results, made.spec.name), miou, draw)


def filled(made: Record, miou: float, draw: np.random.Generator) -> Record:
    """The record with what a real one holds beside."""
    spent = made.outcome.spent_seconds
    curve = tuple(
        Point(
            iteration=200 * step, spent_seconds=spent * step / 20, task_loss=2 / step, term_losses=(1 / step,),
            learning_rate=0.05,
        )
        for step in range(1, 21)
    )  # fmt: skip
    scores = Scores(
        miou=miou, miou_absent_zero=miou, miou_predicted=miou, pixel_accuracy=0.9, images=IMAGES,
        class_iou=tuple(float(value) for value in np.clip(draw.normal(miou, 0.1, len(CLASSES)), 0, 1)),
    )  # fmt: skip
    times = Times(
        start_up=5.0, loading=0.6, warm_up=0.4, data_wait=1.0, training=spent - 1, evaluation=3.0, other=0.1,
        process=spent + 9.1,
    )  # fmt: skip
    phases = {"data": 0.003, "teacher": 0.05, "student": 0.02, "task loss": 0.01, "kl@logits": 0.01, "backward": 0.03}
    cost = made.spec.cost.model_copy(update={"phases": phases, "phases_of": 0.123}) if made.spec.cost else None
    return made.model_copy(
        update={
            "spec": made.spec.model_copy(update={"cost": cost}),
            "outcome": made.outcome.model_copy(update={"curve": curve, "scores": scores, "times": times}),
        }
    )


def save_counts(path: Path, miou: float, draw: np.random.Generator) -> None:
    """Counts of drawn images that lie about the mIoU; the labels are those of every run."""
    labelled = np.random.default_rng(0).integers(500, 4000, (IMAGES, len(CLASSES)))
    intersections = (labelled * np.clip(draw.normal(miou, 0.05, labelled.shape), 0, 1)).astype(np.int64)
    unions = labelled + draw.integers(0, 500, labelled.shape)
    np.savez_compressed(path, intersections=intersections, unions=unions, labelled=labelled)


if __name__ == "__main__":
    main()
