"""A workload small enough that a whole sweep takes seconds, and the commands as a person types them."""

import os
import subprocess
import sys
from pathlib import Path

TINY = """
title: A handful of streets
standing: demonstration
caveat: made for tests
dataset: streets
classes: [sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist]
pictures: public
data:
  reader: streets
  train: {count: 16, seed: 1}
  tune: {count: 4, seed: 2}
  score: {count: 8, seed: 3}
image_size: [64, 128]
label_size: [64, 128]
mean: [0.5, 0.5, 0.5]
std: [0.25, 0.25, 0.25]
stride: 4
augmentation: {scale: [1.0, 1.0], crop: [56, 112], flip: 0.5}
student: {architecture: light, widths: [4, 6, 8, 8], blocks: [1, 1, 1, 1], decoder: 8, dropout: 0.1}
teacher:
  network: {architecture: light, widths: [8, 12, 16, 16], blocks: [1, 1, 1, 1], decoder: 16, dropout: 0.1}
  weights: null
  sha256: null
  miou: null
  band: 0.05
  training: {iterations: 20, batch: 2, learning_rate: 0.05, seed: 0, stored_as: float16}
training:
  batch: 2
  learning_rate: 0.05
  momentum: 0.9
  weight_decay: 1e-4
  power: 0.9
  auxiliary_weight: 0.0
  recipe_epochs: 50
threads: 1
"""


def tiny(folder: Path) -> Path:
    """The tiny workload's YAML in a folder."""
    path = folder / "tiny.yaml"
    path.write_text(TINY)
    return path


def environment(cache: Path) -> dict[str, str]:
    """This process's, with a cache of the test's own."""
    return {**os.environ, "SEGKD_CACHE": str(cache), "COLUMNS": "200"}


def bench(cache: Path, *arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """`bench …` to its end, from a folder that is not the repository, on a core of its own.

    So a sweep has one slot, and nothing keeps it company while it measures: half the work for a suite that has both
    cores at work as it is.
    """
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(cache), cwd=cwd, check=False, preexec_fn=take_a_core
    )


def take_a_core() -> None:
    """Of the cores that this process may use the one that belongs to this worker of the suite."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        os.sched_setaffinity(0, {cores[worker % len(cores)]})
