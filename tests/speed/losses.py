"""What each loss costs alone, beside the cross-entropy that every trainer pays, next to what its released code needs.

    PYTHONPATH=. python tests/speed/losses.py [NAME …]

Forward plus backward at the shapes of the released code's measurements: two images of 512×1024, 19 classes, logits and
features at 64×128, features of 128 (student) and 512 (teacher) channels, float32, one thread, a process a row. Process
CPU time, as a ratio to cross-entropy on logits upsampled to the image in the same process; so both sides of a
comparison are ratios, and machines drop out. Memory is the growth of the resident set over its size with inputs and
the loss's own state allocated.

Where a loss is mostly convolutions, or its ratio is near 1, it is also measured in turns with the same mathematics
written out plainly (`written_out.py`), in one process: `ours/plain`.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from harness.distill.distiller import Distiller
from harness.distill.draw import Draw
from harness.distill.loading import load
from harness.distill.losses import cross_entropy
from harness.golden.objective import Recorded, shipped
from harness.ledger.method import ResolvedMethod, Setting
from tests.speed.written_out import WRITTEN_OUT

CROP = (512, 1024)
GRID = (64, 128)
SEGFORMER_WIDTHS = ((32, 64, 160, 256), (64, 128, 320, 512))
SEGFORMER_STRIDES = (4, 8, 16, 32)
SECONDS = 4.0
"""For which a row is repeated, LEAST times at least."""
LEAST = 3


@dataclass(frozen=True)
class Row:
    """One line of the table: some of a method's losses, and what the released code needed for the same."""

    method: str
    losses: tuple[str, ...]
    """Names in the distiller: LOSS@STAGE or PART@STAGE."""
    released_ms: float
    released_cross_entropy_ms: float
    released_mb: float
    stages: tuple[str, ...] = ()
    """The taps that are kept, all without any."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    work: str = "iteration"
    """`iteration`, `after_step` or `prepare`."""
    classes: int = 19
    labels_at_grid: bool = False
    """Labels of the logits' size, where the released code was measured without upsampling."""


# Milliseconds and megabytes of the released code: measured once on one core, beside cross-entropies of 287 and 282 ms.
ROWS: Mapping[str, Row] = {
    "kd": Row("kd", ("kl@logits",), 3.4, 287, 24),
    "cwd_cirkd, logits": Row("cwd_cirkd", ("channel_divergence@logits",), 2.1, 287, 25),
    "cwd_cirkd, features": Row("cwd_cirkd", ("UnprojectedMeanDivergence@decoded_dropped",), 339, 287, 283),
    "at": Row("at", ("attention_transfer@decoded_dropped",), 36, 287, 46),
    "fitnet": Row("fitnet", ("mse@decoded_dropped",), 197, 287, 210),
    "skd": Row("skd", ("pairwise@decoded_dropped",), 373, 287, 233),
    "adversarial, student": Row("skd", ("Adversarial@logits",), 62, 287, 127),
    "adversarial, discriminator": Row("skd", ("Adversarial@logits",), 108, 287, 166, work="after_step"),
    "ifvd": Row("ifvd", ("FeatureVariation@decoded_dropped",), 1209, 287, 1249),
    "dsd": Row("dsd", ("pixel_similarity@decoded_dropped", "class_similarity@logits"), 33, 287, 89),
    "cirkd, mini-batch": Row("cirkd", ("minibatch@decoded_dropped",), 14387, 287, 3468),
    "cirkd, memory": Row("cirkd", ("pixel@decoded_dropped", "region@decoded_dropped"), 6750, 287, 1341),
    "cirkdv2, channels": Row(
        "cirkdv2",
        tuple(f"channel_{part}@decoded_dropped" for part in ("minibatch", "memory", "mse")),
        *(212, 287, 123),
        settings={"context": False},
    ),
    "cirkdv2, context and fitnet": Row("cirkdv2", ("fitnet@decoded_dropped",), 2952, 287, 1740),
    "cwd_mmrazor": Row("cwd_mmrazor", ("channel_divergence@logits",), 2.1, 282, 22),
    "cwd": Row("cwd", ("channel_divergence@logits",), 2.7, 282, 24),
    "maskd, tokens": Row(
        "maskd",
        ("MaskedDistillation@logits",),
        *(6.4, 282, 54),
        stages=("logits",),
        work="prepare",
        labels_at_grid=True,
    ),
    "dist": Row("dist", ("inter@logits", "intra@logits"), 7.6, 282, 27),
    "maskd": Row("maskd", ("MaskedDistillation@logits",), 12.9, 282, 138, stages=("logits",)),
    "aicsd": Row("aicsd", ("interclass@logits", "pixel@logits"), 93, 282, 33, settings={"enlarged": False}, classes=21),
    "featmse": Row("featmse", ("mse@stage4",), 131, 282, 110),
    "cwd_mmrazor_feature": Row("cwd_mmrazor_feature", ("channel_divergence@stage4",), 328, 282, 244),
    "featpixnorm": Row("featpixnorm", ("normalized_pixels@stage4",), 342, 282, 240),
    "featl2norm": Row("featl2norm", ("normalized_l2@stage4",), 379, 282, 240),
    "cwd_feature": Row("cwd_feature", ("ProjectedDivergence@decoded_dropped",), 472, 282, 332),
    "transkd": Row("transkd", ("Fusion@stage1", "Embeddings@embedding1"), 493, 282, 480),
    "pkd": Row("pkd", ("pearson@stage4",), 536, 282, 273),
    "attnfd, one place": Row("attnfd", ("ReleasedAttentionDistance@stage4",), 723, 282, 410, stages=("stage4",)),
    "attnfd_fixed, one place": Row("attnfd_fixed", ("AttentionDistance@stage4",), 723, 282, 410, stages=("stage4",)),
    "freekd": Row("freekd", ("freq@stage4", "mse@stage4"), 1465, 282, 927),
    "bpkd": Row("bpkd", ("edge@logits", "body@logits"), 1512, 282, 493),
    "maskd_feature": Row("maskd_feature", ("MaskedFeatures@stage4",), 2171, 282, 870),
    "diffkd": Row(
        "diffkd",
        tuple(f"{part}@stage4" for part in ("kd", "diffusion", "autoencoder")),
        *(2305, 282, 2040),
        settings={"ae_channels": 256},
    ),
    "mgd": Row("mgd", ("MaskedGeneration@stage4", "channel_divergence@logits"), 2762, 282, 273),
    "afdcd": Row("afdcd", ("feature@stage4", "contrastive@stage4"), 2992, 282, 416),
}


def main(names: Sequence[str]) -> None:
    """Prints the table, a row as soon as it is measured."""
    print(f"load {os.getloadavg()[0]:.1f}, torch {torch.__version__}, one thread")
    head = f"{'loss':28}{'× CE':>9}{'released':>10}{'ours/rel.':>11}{'ours/plain':>12}"
    print(f"{head}{'ms':>9}{'peak MB':>9}{'released':>10}")
    for name, row in ROWS.items():
        if names and name not in names:
            continue
        command = [sys.executable, __file__, "--row", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name:28}{(done.stderr.strip().splitlines() or ['failed'])[-1]}", flush=True)
        else:
            print(line(name, row, json.loads(done.stdout)), flush=True)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def line(name: str, row: Row, found: Mapping[str, float]) -> str:
    """A row of the table."""
    ours, released = found["ms"] / found["cross_entropy_ms"], row.released_ms / row.released_cross_entropy_ms
    plain = f"{found['written_out_ratio']:12.2f}" if "written_out_ratio" in found else f"{'':12}"
    memory = f"{found['peak_mb']:9.0f}{row.released_mb:10.0f}"
    return f"{name:28}{ours:9.3f}{released:10.3f}{ours / released:11.2f}{plain}{found['ms']:9.1f}{memory}"


def measure(name: str) -> dict[str, float]:
    """CPU milliseconds and peak megabytes of a row, the yardstick's, and the ratio to the loss written out."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    row = ROWS[name]
    yardstick = cross_entropy_at_the_image()
    method = reduced(row)
    student, teacher, labels = inputs(method, row)
    distiller = Distiller(
        method, Recorded(student), Recorded(teacher), crop=CROP, auxiliary_weight=0.0, batch=len(labels)
    ).train()
    draw = Draw(torch.Generator().manual_seed(0), torch.device("cpu"))

    def backward(losses: Sequence[Tensor]) -> None:
        for tensor in student.values():
            tensor.grad = None
        distiller.zero_grad(set_to_none=True)
        torch.autograd.backward(torch.stack(list(losses)).sum())

    def iteration() -> None:
        backward(distiller.distil(student, teacher, labels, draw))

    def plain_losses() -> tuple[Tensor, ...]:
        return WRITTEN_OUT[name](distiller, student, teacher, draw)

    def plain_iteration() -> None:
        backward(plain_losses())

    def prepare() -> None:
        distiller.prepare(student, teacher, labels, draw, progress=0.0)

    def nothing() -> None:
        pass

    work = {"iteration": iteration, "prepare": prepare, "after_step": distiller.after_step}[row.work]
    before_each = iteration if row.work == "after_step" else nothing
    yards = timed([yardstick], seconds=1.0)[0]
    before_each()
    peak = peak_megabytes(work)
    found = {"peak_mb": peak}
    if name in WRITTEN_OUT:
        if row.work == "iteration":
            state = deepcopy(distiller.state_dict())
            ours = seeded(draw, lambda: distiller.distil(student, teacher, labels, draw))
            distiller.load_state_dict(state)
            expect_equal(distiller.names, ours, seeded(draw, plain_losses))
        plain_work = plain_losses if row.work == "after_step" else plain_iteration
        taken, plain = timed([work, plain_work], seconds=2 * SECONDS, before_each=before_each)
        # The quickest of each: what else runs on the machine only slows a repeat down.
        found["written_out_ratio"] = min(taken) / min(plain)
    else:
        (taken,) = timed([work], before_each=before_each)
    yards += timed([yardstick], seconds=1.0)[0]
    return found | {"ms": statistics.median(taken), "cross_entropy_ms": statistics.median(yards)}


def cross_entropy_at_the_image() -> Callable[[], None]:
    """The yardstick: what every trainer pays for its labels, forward and backward."""
    logits = torch.randn(2, Row.classes, *GRID, requires_grad=True)
    labels = some_labels(Row.classes, CROP)
    draw = Draw(torch.Generator(), torch.device("cpu"))

    def work() -> None:
        logits.grad = None
        torch.autograd.backward(cross_entropy(logits, None, labels, draw=draw))

    return work


def seeded(draw: Draw, losses: Callable[[], Sequence[Tensor]]) -> list[float]:
    """The losses as numbers, from the first numbers of the generator."""
    draw.generator.manual_seed(0)
    return [loss.item() for loss in losses()]


def expect_equal(names: Sequence[str], ours: Sequence[float], plain: Sequence[float]) -> None:
    """SystemExit unless both forms give the same values."""
    for name, one, other in zip(names, ours, plain, strict=True):
        if abs(one - other) > 1e-5 * abs(other):
            raise SystemExit(f"{name}: found {one}, written out {other}: expected the same")


def peak_megabytes(work: Callable[[], None]) -> float:
    """By how much the resident set grows at most while the work is done."""
    before = resident_megabytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls to what is used now
    work()
    return resident_megabytes("VmHWM") - before


def reduced(row: Row) -> ResolvedMethod:
    """The shipped method with these losses alone, each of weight 1."""
    method = shipped(row.method)
    terms = []
    for term in method.terms:
        stage = term.stage
        kept = [part.name for part in term.parts if f"{part.name}@{stage}" in row.losses]
        if not kept and term.name not in row.losses:
            continue
        parts = [part.model_copy(update={"weight": float(part.name in kept), "transfer": None}) for part in term.parts]
        taps = tuple(tap for tap in term.taps if not row.stages or tap.student in row.stages)
        settings = {**term.settings, **row.settings}
        update = {"weight": 1.0, "transfer": None, "parts": tuple(parts), "taps": taps, "settings": settings}
        terms.append(term.model_copy(update={**update, "group": 2 if term.group else None}))
    found = [
        name for term in terms for name in ([f"{p.name}@{term.taps[0].student}" for p in term.weights if p.weight])
    ]
    if len(found) < len(row.losses):
        raise SystemExit(f"{row.method} has {found}, not {row.losses}")
    needs_preparation = any(getattr(load(term), "needs_preparation", False) for term in terms)
    share = method.preparation_share if needs_preparation else 0.0
    return method.model_copy(update={"terms": tuple(terms), "preparation_share": share})


def inputs(method: ResolvedMethod, row: Row) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Random tensors for each stage that is tapped, features as after a ReLU, and labels."""
    student, teacher = {}, {}
    taps = [tap for term in method.terms for tap in term.taps]
    # Four stages and their embeddings are those of SegFormer, whose fourth stage is no stage4 of a dilated ResNet.
    is_transformer = any(tap.student.startswith("embedding") for tap in taps)
    for tap in taps:
        student[tap.student] = stage_tensor(tap.student, 0, row.classes, is_transformer).requires_grad_()
        teacher[tap.teacher] = stage_tensor(tap.teacher, 1, row.classes, is_transformer)
    return student, teacher, some_labels(row.classes, GRID if row.labels_at_grid else CROP)


def some_labels(classes: int, size: tuple[int, int]) -> Tensor:
    """Of two images, 16×32 blocks of one label each, 8 % of them ignored."""
    blocks = torch.randint(classes, (2, 16, 32))
    blocks[torch.rand(blocks.shape) < 0.08] = 255
    return blocks.repeat_interleave(size[0] // 16, dim=1).repeat_interleave(size[1] // 32, dim=2)


def stage_tensor(stage: str, side: int, classes: int, is_transformer: bool) -> Tensor:
    """A stage of the student (0) or the teacher (1)."""
    if "logits" in stage:
        return 3 * torch.randn(2, classes, *GRID)
    if is_transformer:
        depth = int(stage[-1]) - 1
        height, width = (length // SEGFORMER_STRIDES[depth] for length in CROP)
        channels = SEGFORMER_WIDTHS[side][depth]
        if stage.startswith("embedding"):
            return torch.randn(2, height * width, channels)
        return torch.randn(2, channels, height, width)
    return torch.randn(2, (128, 512)[side], *GRID).relu()


def timed(
    works: Sequence[Callable[[], object]],
    seconds: float = SECONDS,
    before_each: Callable[[], None] = lambda: None,
) -> list[list[float]]:
    """Milliseconds of process CPU time of each work's repeats, taken in turns, after one that is thrown away."""
    taken: list[list[float]] = [[] for _ in works]
    for work in works:
        before_each()
        work()
    end = time.perf_counter() + seconds
    while len(taken[0]) < LEAST or time.perf_counter() < end:
        for work, times in zip(works, taken, strict=True):
            before_each()
            start = time.process_time()
            work()
            times.append(1000 * (time.process_time() - start))
    return taken


def resident_megabytes(name: str) -> float:
    """VmRSS, what is resident, or VmHWM, the most that was."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["--row"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main(sys.argv[1:])
