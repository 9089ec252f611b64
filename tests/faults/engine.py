"""A stand-in for the engine at a run, behind the door VERB SPEC OUT: it counts, goes on from checkpoints, and can fail.

It takes the run's lock and keeps to the layout of a results folder, with nothing but the standard library: it starts in
40 ms. What it needs to leave (an outcome, per-image counts) lies beside RESULTS, as does the book in which it writes
every iteration that it does.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

SECONDS = 0.002
"""Of an iteration."""
KEPT_EVERY = 4
"""Iterations from checkpoint to checkpoint."""
FAULT = "FAKE_FAULT"
"""Environment variable: METHOD=FAULT."""

ANSWERS = {
    "garbage": bytes(range(256)),
    "empty": b"",
    "torn": b'{"format": 1, "ending": "do',
    "number": b'{"format": 1, "ending": "done", "spent_seconds": NaN}',
    "foreign": b'{"format": 1, "measurement": {}}',
}
"""What no run answers."""


def value_after(iterations: int) -> str:
    """What the iterations make: each depends on all before it, so that one that is lost or done twice is seen."""
    value = ""
    for done in range(1, iterations + 1):
        value = hashlib.sha256(f"{value} {done}".encode()).hexdigest()
    return value


def main(spec_path: Path, out: Path) -> int:
    """The run's answer stands in OUT, unless the run is to fail."""
    spec = json.loads(spec_path.read_bytes())
    work = out.parent.parent
    with (work / f"{spec['key']}.lock").open("a") as lock:
        if not is_taken(lock.fileno()):
            return 75
        if out.exists():
            return 0
        return carry_out(spec, out, work / f"{spec['key']}.checkpoint", work.parent.parent)


def is_taken(lock: int) -> bool:
    """Whether the lock could be had; whoever only looks whether it is held, holds it for a moment."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def carry_out(spec: dict[str, Any], out: Path, checkpoint: Path, place: Path) -> int:
    """Spends what is left of the run's iterations."""
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, _: asked.append(number))
    state = json.loads(checkpoint.read_bytes()) if checkpoint.exists() else {"done": 0, "value": ""}
    began, total = state["done"], spec["iterations"]
    method, _, fault = os.environ.get(FAULT, "").partition("=")
    print(f"training from iteration {began}", flush=True)
    with (place / "book").open("a") as book:
        while state["done"] < total and not asked:
            if os.getppid() != int(os.environ["SEGKD_PARENT"]):
                return 86
            time.sleep(SECONDS)
            state["done"] += 1
            state["value"] = hashlib.sha256(f"{state['value']} {state['done']}".encode()).hexdigest()
            book.write(f"{spec['key']} {spec['attempt']} {state['done']}\n")
            book.flush()
            replace(out.with_name("out.json.status.json"), status(state["done"], total))
            if state["done"] % KEPT_EVERY == 0 or asked:
                replace(checkpoint, state)
            if method == spec["method"]["name"] and state["done"] == total // 2:
                fail(fault, out)
    answer = json.loads((place / "outcome.json").read_bytes())
    answer |= {"iterations": state["done"], "resumed_iterations": began, "student_sha256": state["value"]}
    if asked:
        replace(out, {"ending": "interrupted", "reason": "asked to stop", "iterations": state["done"]})
        return 85
    shutil.copy(place / "counts.npz", out.with_name("counts.npz"))
    replace(out, answer)
    return 0


def fail(fault: str, out: Path) -> NoReturn:
    """The run goes wrong in its middle."""
    match fault:
        case "hang":
            time.sleep(600)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            replace(out, {"ending": "out_of_memory", "reason": "a batch of 8 does not fit into 1 GiB"})
            sys.exit(1)
        case "folder":
            out.mkdir()
        case "nothing":
            pass
        case _:
            out.write_bytes(ANSWERS[fault])
    sys.exit(0)


def status(done: int, total: int) -> dict[str, Any]:
    return {
        "pid": os.getpid(), "phase": "training", "done": done, "total": total, "spent_seconds": float(done),
        "budget_seconds": None, "iterations": done, "heartbeat": time.time(),
    }  # fmt: skip


def replace(path: Path, content: dict[str, Any]) -> None:
    """In one step."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(json.dumps(content))
    os.replace(new, path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[2]), Path(sys.argv[3])))
