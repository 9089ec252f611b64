"""How long commands take that a person waits for, as multiples of starting Python: best of five."""

import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "bench --help": ["-m", "harness", "--help"],
    "bench methods list": ["-m", "harness", "methods", "list"],
    "bench methods show kd": ["-m", "harness", "methods", "show", "kd"],
    "bench methods check kd": ["-m", "harness", "methods", "check", "kd"],
    "bench status": ["-m", "harness", "status"],
    "import torch": ["-c", "import torch"],
}


def best_of_five(arguments: list[str]) -> float:
    """Wall seconds of the quickest of five runs."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=Path(__file__).parents[2])
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """A line a command."""
    floor = best_of_five(COMMANDS["python -c pass"])
    for name, arguments in COMMANDS.items():
        seconds = best_of_five(arguments)
        print(f"{name:24} {seconds:6.3f} s  {seconds / floor:6.1f} x python")


if __name__ == "__main__":
    main()
