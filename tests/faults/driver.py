"""`bench run --plan PLAN --results RESULTS` over two slots, with the stand-in for the engine; as often as it is asked.

    driver.py PLAN RESULTS      carries the plan out, once
    driver.py                   does so in a child of its own for each line that it reads: PLAN RESULTS [STEP SIGNAL]

A child is started in milliseconds, since everything is imported already. Its pid is told, and when it has ended its
exit code. Given a STEP it is sent the signal in front of the so many-th thing that it does to the disk, or starts.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from harness.cli import stop
from harness.cli.run import spend_plan, tell
from harness.executors.local import Local
from harness.ledger.errors import BadInput
from harness.ledger.files import read
from harness.ledger.plan import Plan

DOOR = (sys.executable, "-S", "-P", str(Path(__file__).with_name("engine.py")))
STEPS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "subprocess.Popen", "fcntl.flock"}
"""By the names that Python's audit gives them; beside these, what is opened to be written."""


def carry_out(plan: Path, results: Path) -> int:
    """The exit code of `bench run`."""
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background inherits that it is ignored
    try:
        tell(spend_plan(read(plan, Plan), results, False, Local(("cpu", "cpu"), DOOR)), results)
    except KeyboardInterrupt:
        return 130  # before the sweep began, or when it was over
    except typer.Exit as exited:
        return exited.exit_code
    except BadInput as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


def struck_at(step: int, number: int) -> Callable[[str, tuple[object, ...]], None]:
    """An audit hook that sends the process a signal in the middle of its work."""
    left = step

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in STEPS or (event == "open" and int(str(arguments[2] or 0)) & (os.O_WRONLY | os.O_RDWR)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), number)

    return hook


def serve() -> None:
    """A child for every line."""
    for line in sys.stdin:
        plan, results, *step = line.split()
        if (child := os.fork()) == 0:
            with Path(results).with_name("said.txt").open("a") as said:
                for stream in (1, 2):
                    os.dup2(said.fileno(), stream)
            if step:
                sys.addaudithook(struck_at(*map(int, step)))
            os._exit(ended(carry_out(Path(plan), Path(results))))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def ended(code: int) -> int:
    """Nothing that was said is lost."""
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    if len(sys.argv) == 3:
        sys.exit(carry_out(Path(sys.argv[1]), Path(sys.argv[2])))
    serve()
