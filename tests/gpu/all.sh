#!/bin/sh
# What needs a GPU, the most telling first, a part in under ten minutes:  sh tests/gpu/all.sh [checks] [speed] [camvid]
#   checks  clock, phases, energy, budgets, the loop's price, what waits for the device
#   speed   images/s, share of the peak, data wait and memory of each method, beside an ordinary loop
#   camvid  a teacher, then six methods with 60 s each and three seeds; again goes on where it stopped. Needs CamVid at
#           .data/camvid.tar, and timm's weights in the cache's backbones/; without them both networks start from scratch.
# Without a name: all of them. What is found goes to $OUT, or to results/checks where that is not set.
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
export PYTHONUNBUFFERED=1

out=${OUT:-results/checks}
stamp=$(date -u +%Y%m%d-%H%M)
mkdir -p "$out"

checks() {
    timeout -k 10 460 "$python" -m tests.gpu.checks "$out/gpu-$stamp.json"
}

speed() {
    timeout -k 10 540 "$python" tests/speed/throughput.py cuda:0 > "$out/throughput-$stamp.txt" 2>&1 || return
    timeout -k 10 60 "$python" tests/speed/loading.py >> "$out/throughput-$stamp.txt" 2>&1
}

camvid() {
    export SEGKD_DATA="$PWD/.data/camvid.tar" SEGKD_CACHE="${SEGKD_CACHE:-$PWD/.data/cache}"
    workload=camvid
    if [ ! -d "$SEGKD_CACHE/backbones" ]; then
        workload=.data/camvid-from-scratch.yaml
        sed -e 's/pretrained: true/pretrained: false/' -e 's/backbone_sha256: .*/backbone_sha256: null/' \
            -e 's/both backbones are pretrained on ImageNet/both backbones start from random weights/' \
            harness/workloads/camvid.yaml > "$workload"
    fi
    bench="$python -P -m harness"
    $bench teacher --workload "$workload" --device cuda:0 &&
        timeout -k 30 580 $bench run --workload "$workload" --methods baseline,kd,featl2norm,cwd,dist,cirkd --budget 60s \
            --seeds 3 --device cuda:0 --yes --results "$out/camvid"
}

code=0
for part in ${*:-checks speed camvid}; do
    echo "$part"
    "$part" || code=$?
done
exit "$code"
