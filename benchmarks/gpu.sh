#!/usr/bin/env bash
# What a machine with a GPU reaches, in at most 8 minutes, without a network:
#
#     bash benchmarks/gpu.sh [OUT]        # runs/gpu by default: gpu.json, gpu.md, tests.txt
#
# Made for one GPU of the size of an H200, Python 3.11 or newer, torch 2.11, torchvision 0.26. What is not installed
# beside them is taken from wheels in the folder $WHEELS, by default `wheels`. To fill it, on a machine with the same
# Python and a network, with 199 MB:
#
#     python3 -m pip download --dest wheels --only-binary :all: numpy scipy numba opencv-python-headless simplejpeg \
#         pydantic PyYAML tqdm matplotlib safetensors Jinja2 pytest
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/gpu}
wheels=${WHEELS:-wheels}
python=${PYTHON:-python3}
packages=(numpy scipy numba opencv-python-headless simplejpeg pydantic PyYAML tqdm matplotlib safetensors Jinja2 pytest)
modules="cv2, jinja2, matplotlib, numba, numpy, pydantic, pytest, safetensors, scipy, simplejpeg, tqdm, yaml"
tests_seconds=110
begin_seconds=310 # after which no part is begun
bench_seconds=350 # after which the last part is stopped: what was measured before is written
export PYTHONPATH=$PWD
mkdir -p "$out" || exit 2

if ! "$python" -c "import $modules" 2>/dev/null; then
    "$python" -m pip install --quiet --no-index --find-links "$wheels" "${packages[@]}" || exit 2
fi
if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "gpu.sh: torch must find a GPU, got none" >&2
    exit 2
fi

timeout "$tests_seconds" "$python" -m pytest -q -p no:cacheprovider tests/test_real_gpu*.py >"$out/tests.txt" 2>&1
tests=$?
tail -n 15 "$out/tests.txt"
timeout "$bench_seconds" "$python" benchmarks/gpu.py --out "$out" --seconds "$begin_seconds"
measured=$?
echo "tests: $tests, measurements: $measured (0: all went well); see $out"
exit $((tests || measured))
