"""Methods that get something for nothing, each as its writer would hand it in."""

from pathlib import Path

from harness.ledger.descriptor import resolve_method
from harness.ledger.method import ResolvedMethod

HEADER = """import multiprocessing, os, socket, subprocess, sys, threading

import torch
from torch import nn
from pathlib import Path
from harness.distill.module import LossModule
FILE = Path(__file__).with_name("cache.pt")
KEPT = {}
"""
FUNCTION = """
def own(student, teacher, labels, *, draw):
    %s
    return (student - teacher).square().mean()
"""
MODULE = """
class own(LossModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        %s
    def forward(self, student, teacher, labels, *, draw):
        %s
        return (student - teacher).square().mean() + self.layer.weight.square().sum()
"""
SGD = "torch.optim.SGD(self.layer.parameters(), lr=0.1)"
TRAIN_BY_HAND = """with torch.no_grad():
            for _ in range(3):
                self.layer.weight -= 0.1 * (self.layer.weight @ torch.ones(3, 3))"""
SWALLOWED = """try:
        FILE.write_bytes(b"0" * 9)
    except Exception:
        pass"""
SPAWNED = """worker = multiprocessing.get_context("spawn").Process(target=print)
    worker.start()
    worker.join()"""
THREAD = """thread = threading.Thread(target=lambda: FILE.write_bytes(b"0"))
    thread.start()
    thread.join()"""

NO_DATA = "expected a constructor to see widths and settings alone: what is learned is learned in prepare, on the clock"
NO_FILE = "expected state in buffers: nothing is kept from one run for the next"
NO_PROCESS = "expected all work in this process, where the clock sees it"

TRAINS = {
    "by a loss": (
        MODULE % ("self.layer(torch.ones(9, 3)).square().mean().backward()", "pass"),
        f"14: the constructor computes (aten.addmm): {NO_DATA}",
    ),
    "by sums": (
        MODULE % (f"self.layer.weight.square().sum().backward(); {SGD}.step()", "pass"),
        "14: the constructor takes gradients: expected it to see widths and settings, and to learn nothing",
    ),
    "by hand": (MODULE % (TRAIN_BY_HAND, "pass"), f"16: the constructor computes (aten.mm): {NO_DATA}"),
    "where nobody infers": (
        MODULE % ("with torch.inference_mode(): self.layer(torch.ones(9, 3))", "pass"),
        f"14: the constructor computes (aten.addmm): {NO_DATA}",
    ),
}
"""Work done while the method is built."""

HIDES = {
    "writes": (FUNCTION % "FILE.write_bytes(b'0')", f"11: opens '{{cache}}' for writing: {NO_FILE}"),
    "saves tensors": (FUNCTION % "torch.save(teacher, FILE)", f"11: opens '{{cache}}' for writing: {NO_FILE}"),
    "swallows": (FUNCTION % SWALLOWED, f"12: opens '{{cache}}' for writing: {NO_FILE}"),
    "has a database": (
        FUNCTION % "import sqlite3; sqlite3.connect(FILE)",
        f"11: opens '{{cache}}' for writing: {NO_FILE}",
    ),
    "makes a folder": (FUNCTION % "FILE.mkdir()", f"11: changes '{{cache}}' on the disk: {NO_FILE}"),
    "forks": (FUNCTION % "os.fork() or os._exit(0)", f"11: starts another process (os.fork): {NO_PROCESS}"),
    "calls": (
        FUNCTION % "subprocess.run([sys.executable, '-c', ''])",
        f"11: starts another process (subprocess.Popen): {NO_PROCESS}",
    ),
    "talks": (
        FUNCTION % "with socket.socket(socket.AF_UNIX) as plug: plug.connect('nobody')",
        f"11: talks to others (socket.connect): {NO_PROCESS}",
    ),
}
"""Work done where no clock looks, told with its line: Python announces it."""

SPAWNS = FUNCTION % SPAWNED
"""A process that Python does not announce."""

REMEMBERS = {
    "a dictionary of the file": (FUNCTION % "KEPT[labels.sum().item() + len(KEPT)] = teacher", "own.py: KEPT: "),
    "a function": (FUNCTION % "own.seen = getattr(own, 'seen', 0) + 1", "own.py: own: "),
    "an attribute": (MODULE % ("self.seen = []", "self.seen.append(teacher)"), "terms.0.loss.seen: "),
    "an attribute of the class": (MODULE % ("pass", "type(self).seen = teacher"), "own.py: own: "),
    "a buffer that is not saved": (
        MODULE % ("self.register_buffer('seen', torch.zeros(()), persistent=False)", "self.seen += 1"),
        "terms.0.loss.seen: ",
    ),
}
"""Memory that a warm-up would fill for the run."""


def method_of(folder: Path, text: str, batch: int = 2) -> ResolvedMethod:
    """A method at the logits whose Python is the text."""
    (folder / "own.py").write_text(HEADER + text)
    (folder / "mine.yaml").write_text(
        "title: Mine\nfamily: general\nterms:\n"
        "  - {loss: own.py:own, at: logits, weight: {default: 1.0}, source: ours}\nnotes: mine\n"
    )
    return resolve_method(folder / "mine.yaml", "streets", batch)
