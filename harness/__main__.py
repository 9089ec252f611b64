"""`python -m harness` is `bench`, and as little as that looks for modules in the folder that it is started from."""

import sys

if not sys.flags.safe_path:
    # What `python -m` puts first: a file `yaml.py` or a folder `methods/` that lies here would pass for ours.
    here = sys.path.pop(0)
    if sys.modules["harness"].__file__ == f"{here}/harness/__init__.py":
        sys.path.append(here)  # a checkout that is not installed, which was asked for; behind everything else

from harness.cli import main

main()
