"""Makes .venv and installs the project into it, with what its tests need; costs nothing when that is done already.

Only the standard library, and only syntax that Python 3.6 reads: an older Python is told what to install, or finds a
newer one beside it. Hence no `str | None`, no `list[str]`, no `match` here.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys

OLDEST, NEWEST = (3, 11), (3, 13)
ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, ".set-up")
UNFINISHED = "unfinished"
INSTALL = ("install", "--quiet", "--disable-pip-version-check", "--no-compile")
NO_PYTHON = (
    "bootstrap: this is Python {}.{} and there is no Python 3.11, 3.12 or 3.13 on PATH: install one "
    "(Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13), or uv, which brings its own"
)
NO_INSTALLER = (
    "bootstrap: {} has neither ensurepip nor pip: install one "
    "(Debian, Ubuntu: apt install python3-venv), or uv (https://docs.astral.sh/uv)"
)


class Stopped(Exception):
    """The set-up cannot go on; its text says why."""


def main() -> int:
    """Leaves a working .venv behind and returns 0, or says in one line what is missing."""
    # Two set-ups at once would undo each other's work.
    with open(os.path.abspath(__file__)) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if read(STAMP) != stamp() or not os.path.exists(PYTHON):
                set_up()
        except Stopped as reason:
            print(reason, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nbootstrap: interrupted; the next start repairs it", file=sys.stderr)
            return 130
    return 0


def set_up() -> None:
    """Makes the environment where there is no sound one, installs into it, and only then stamps it."""
    uv = shutil.which("uv") or ""
    python = find_python()
    if not python and not uv:
        raise Stopped(NO_PYTHON.format(*sys.version_info[:2]))
    if not is_sound():
        make(uv, python)
    write(STAMP, UNFINISHED)
    say("installing segkd-bench and what it needs (torch alone is gigabytes on Linux: minutes, the first time) …")
    run([*installer(uv, python), "-c", "constraints.txt", "-e", ".[test]"])
    if not uv:
        compile_bytecode()
    write(STAMP, stamp())
    say("done")


def make(uv: str, python: str) -> None:
    """Makes a new, empty .venv."""
    if not uv and not has(python, "ensurepip") and not has(python, "pip"):
        raise Stopped(NO_INSTALLER.format(python))
    if os.path.lexists(VENV):
        say("the .venv here cannot be used as it is (unfinished, moved, or its Python is gone): making it anew")
        remove(VENV)
    say("making .venv with " + (python or "a Python that uv brings") + " …")
    if uv:
        run([uv, "venv", "--quiet", "--python", python or ">=3.11,<3.14", VENV])
    else:
        run([python, "-m", "venv", *([] if has(python, "ensurepip") else ["--without-pip"]), VENV])


def installer(uv: str, python: str) -> list:
    """The command that installs into .venv: uv, its own pip, or another Python's."""
    if uv:
        # Uncompiled, every start of a fresh environment would compile torch again wherever bytecode is not written.
        return [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", PYTHON]
    if has(PYTHON, "pip"):
        return [PYTHON, "-m", "pip", *INSTALL]
    if has(python, "pip"):
        return [python, "-m", "pip", "--python", PYTHON, *INSTALL]
    raise Stopped(NO_INSTALLER.format(python))


def compile_bytecode() -> None:
    """What pip does on one core: over a minute for torch. Templates and tests of other Pythons do not compile."""
    command = [PYTHON, "-m", "compileall", "-q", "-j", "0", os.path.join(VENV, "lib")]
    subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def is_sound() -> bool:
    """Whether .venv is one of this place, was not left half-made, and has a Python of a version that will do."""
    kept = read(STAMP)
    moved = bool(kept) and not kept.startswith(ROOT + "\n")
    return not moved and is_suitable(version_of(PYTHON))


def stamp() -> str:
    """What .venv was made for: this folder, its own Python's version, the project's requirements."""
    digest = hashlib.sha256()
    found = re.search(r"^version(?:_info)? *= *(.*)$", read(os.path.join(VENV, "pyvenv.cfg")), re.MULTILINE)
    for part in (found.group(1) if found else "", read("pyproject.toml"), read("constraints.txt")):
        digest.update(part.encode() + b"\0")
    return ROOT + "\n" + digest.hexdigest() + "\n"


def find_python() -> str:
    """The running Python if it will do, else the newest on PATH that does, else nothing."""
    if is_suitable(sys.version_info[:2]):
        # Of an active environment the Python that made it: the environment may be this .venv, about to be removed.
        return getattr(sys, "_base_executable", sys.executable)
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        # A name on PATH may be a shim with nothing behind it, so that it is asked for its version.
        found = shutil.which(f"python3.{minor}")
        if found and is_suitable(version_of(found)):
            return found
    return ""


def is_suitable(version: tuple) -> bool:
    """Whether pyproject.toml admits the version."""
    return OLDEST <= version <= NEWEST


def version_of(python: str) -> tuple:
    """Major and minor as the interpreter itself says them; (0, 0) where it does not start."""
    try:
        said = subprocess.check_output(
            [python, "-c", "import sys; print(*sys.version_info[:2])"], stderr=subprocess.DEVNULL
        )
        major, minor = said.split()
        return int(major), int(minor)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return 0, 0


def has(python: str, module: str) -> bool:
    """Whether the interpreter can import the module."""
    try:
        return subprocess.call([python, "-c", "import " + module], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def run(command: list) -> None:
    """Runs the command in the project's folder; its output is the person's to see."""
    try:
        code = subprocess.call(command, cwd=ROOT)
    except OSError as error:
        raise Stopped(f"bootstrap: {command[0]}: {error.strerror}") from error
    if code != 0:
        raise Stopped(f"bootstrap: `{' '.join(command)}` failed (see above); the next start repairs it")


def remove(path: str) -> None:
    """Removes what lies at the path; of a link only the link."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.remove(path)


def read(path: str) -> str:
    """The text of a file under the project's folder, or nothing."""
    try:
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def write(path: str, text: str) -> None:
    """Writes the text."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def say(text: str) -> None:
    """A line on what is going on."""
    print("bootstrap: " + text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
