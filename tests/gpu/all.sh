#!/bin/sh
# Every check that needs a GPU, in one command and under 8 minutes: sh tests/gpu/all.sh
# Findings go to $OUT, or to results/checks where that is not set, and stand there as soon as the first check is over.
# Where packages are missing and cannot be fetched, the wheels in .wheels/ are used. Filled elsewhere, for its Python:
#   pip download --no-deps --only-binary=:all: --python-version 3.12 -d .wheels PACKAGE ...
set -eu
cd "$(dirname "$0")/../.."

python=python3
if [ -x .venv/bin/python ] && .venv/bin/python -c 'import torch' 2> /dev/null; then
    python=.venv/bin/python
fi
# The processes that a sweep starts look for the harness there, where it is not installed.
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
if [ -d .wheels ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" .wheels/*.whl
    export PYTHONPATH="$site:$PYTHONPATH"
fi

# As a sweep sets it for its runs: no kernels that torch compiles by itself.
export TORCH_DISABLE_NATIVE_JIT=1
# Of several cards torch then takes the one that NVML reads.
export CUDA_DEVICE_ORDER=PCI_BUS_ID

findings=${OUT:-results/checks}/gpu-$(date -u +%Y%m%d-%H%M).json
code=0
PYTHONUNBUFFERED=1 timeout -k 10 460 "$python" -m tests.gpu.checks "$findings" || code=$?
[ ! -e "$findings" ] || echo "findings: $findings"
exit "$code"
