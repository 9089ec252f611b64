"""A stand-in for the engine behind the same door, VERB SPEC OUT: it counts, keeps checkpoints, and loads no torch."""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from harness.ledger.files import write, write_bytes
from harness.ledger.status import PARENT, PREEMPTED, Status, status_path


def main(verb: str, spec: Path, out: Path) -> int:
    """Does `iterations` of `seconds` each, then ends with code `exit`; told to stop, it keeps what it has."""
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, _: asked.append(number))
    wish = {"iterations": 1, "seconds": 0.0, "exit": 0, "say": "", "fall": None} | json.loads(spec.read_text())
    checkpoint = out.with_name("checkpoint.json")
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"done": 0, "value": "", "starts": []}
    state["starts"] += [state["done"]]
    print(wish["say"] or f"{verb} from iteration {state['done']}", flush=True)
    while state["done"] < wish["iterations"] and not asked:
        time.sleep(wish["seconds"])
        if int(os.environ.get(PARENT, os.getppid())) != os.getppid():
            return 86
        state["done"] += 1
        # What an iteration makes depends on all before it, so that one that is lost or done twice is seen.
        state["value"] = hashlib.sha256(f"{state['value']} {state['done']}".encode()).hexdigest()
        write_bytes(checkpoint, json.dumps(state).encode())
        write(status_path(out), status(state["done"], wish["iterations"]))
        if state["done"] == wish["fall"]:
            os.kill(os.getpid(), signal.SIGKILL)
    stopped = state["done"] < wish["iterations"]
    answer = state | {"ending": "interrupted" if stopped else "done", "cards": os.environ.get("CUDA_VISIBLE_DEVICES")}
    write_bytes(out, json.dumps(answer | {"node": os.environ.get("SLURMD_NODENAME"), "ended": time.time()}).encode())
    return PREEMPTED if stopped else wish["exit"]


def status(done: int, total: int) -> Status:
    return Status(
        pid=os.getpid(), phase="training", done=done, total=total, spent_seconds=float(done), budget_seconds=None,
        iterations=done, heartbeat=time.time(),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
