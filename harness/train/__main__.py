"""The engine's only door: `python -P -m harness.train VERB SPEC OUT`."""

import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.findings import Refusal
from harness.ledger.record import Outcome
from harness.ledger.status import PREEMPTED
from harness.train.endings import ending_of, reason_of
from harness.train.heartbeat import Heartbeat
from harness.train.stop import Interrupted, Stop

ROOMS = {
    "run": "harness.train.run",
    "profile": "harness.train.profile",
    "teacher": "harness.train.teacher",
    "data": "harness.train.data",
    "backbone": "harness.train.backbone",
    "device": "harness.train.device",
    "workload": "harness.train.workload",
    "evaluate": "harness.train.evaluate",
    "check": "harness.train.check",
    "verify": "harness.train.verify",
}
"""A verb's module is imported after the heartbeat began: torch takes seconds, and `data` needs none."""


def main(arguments: list[str]) -> int:
    """Carries out one verb: its value stands in OUT afterwards, or a Refusal and a code that is not 0."""
    if len(arguments) != 3 or arguments[0] not in ROOMS:
        print(f"usage: python -P -m harness.train {{{','.join(ROOMS)}}} SPEC OUT", file=sys.stderr)
        return 2
    verb, spec, out = arguments[0], Path(arguments[1]), Path(arguments[2])
    stop = Stop().listen()
    forget_interruption(out)
    heartbeat = Heartbeat(out, stop).start()
    try:
        return int(importlib.import_module(ROOMS[verb]).main(spec, out, heartbeat))
    except Interrupted as stopped:
        print(f"bench: {stopped}", file=sys.stderr)
        heartbeat.answer(Refusal(ending="interrupted", reason=str(stopped)))
        return PREEMPTED
    except BadInput as error:
        print(f"bench: {error}", file=sys.stderr)
        heartbeat.answer(Refusal(ending=error.ending, reason=str(error)))
        return 2
    except Exception as error:
        traceback.print_exc()
        heartbeat.answer(Refusal(ending=ending_of(error), reason=reason_of(error)))
        return 1


def forget_interruption(out: Path) -> None:
    """What an earlier start of the same job left that was asked to stop is no answer any more."""
    try:
        if read(out, Outcome).ending == "interrupted":  # a Refusal passes for an Outcome that says little
            out.unlink()
    except BadInput:
        return


def leave(code: int) -> NoReturn:
    """Ends the process here and now: taking torch down in order costs seconds that belong to nobody's account."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
