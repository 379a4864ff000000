#!/usr/bin/env bash
# For the moment when a GPU is there: builds, tests, checks with compute-sanitizer and measures, in under nine minutes.
#
#     tools/gpu_check.sh [RESULTS]         [gpu-check]
#
# Needs nvcc, CMake, ninja, GoogleTest (CMAKE_PREFIX_PATH says where, if it is not installed) and a Python with PyTorch (CUDA), NumPy, Pillow, pybind11 and pytest; no network.
# RESULTS gets log.txt, results.json and a line a part in summary.txt. Exits with 1 if a part failed, with 2 where
# there is no GPU. What was measured on hardware belongs into docs/results.
set -uo pipefail
cd "$(dirname "$0")/.."

results=${1:-gpu-check}
if ! name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>&1); then
  echo "gpu_check.sh: no GPU: nvidia-smi says: ${name:-nothing}" >&2
  exit 2
fi
mkdir -p "$results" && results=$(cd "$results" && pwd) || exit 1
log=$results/log.txt summary=$results/summary.txt
: >"$log" >"$summary"
build=build/gpu
failed=0

# part NAME SECONDS COMMAND...: runs it, keeps what it says in the log, and goes on.
part() {
  local what=$1 limit=$2 begin=$SECONDS
  shift 2
  printf '\n== %s: %s\n' "$what" "$*" >>"$log"
  timeout "$limit" "$@" >>"$log" 2>&1
  local status=$?
  case $status in
    0) status="passed" ;;
    124) status="FAILED: more than $limit s" failed=1 ;;
    *) status="FAILED: status $status" failed=1 ;;
  esac
  printf '%-24s %s, %d s\n' "$what" "$status" $((SECONDS - begin)) | tee -a "$summary"
}

{
  echo "GPU: $name"
  nvidia-smi --query-gpu=driver_version,clocks.max.sm,power.limit --format=csv
  nvcc --version | tail -2
  git log -1 --format='commit %H' 2>/dev/null
} >>"$log" 2>&1
echo "$name" | tee -a "$summary"

part configure 60 cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSQUISH_CUDA=ON \
  -DCMAKE_CUDA_ARCHITECTURES=native -DSQUISH_TESTS=ON -DSQUISH_PYTHON=ON -DSQUISH_BENCH=ON \
  -Dpybind11_DIR="$(python3 -m pybind11 --cmakedir 2>/dev/null)"
part build 180 cmake --build "$build" --parallel

# The package as it lies here, with the module that was built.
site=$build/site
mkdir -p "$site/squishnative"
ln -sf "$PWD"/python/squishnative/* "$PWD/$build"/cpp/bindings/_core*.so "$site/squishnative/"
export PYTHONPATH=$PWD/$site

tests=$build/tests/cuda/squish_cuda_device_tests
part 'kernels and nets' 60 "$tests"
part 'the package' 60 python3 -m pytest -q -m 'not slow' tests/python/test_device_arrays.py tests/python/test_net.py

# Every instruction is watched, so a few cases of each kernel must do.
few='CudaConv.AgreesWithPlainLoopsForAnyWindow:CudaConvPooled.*:CudaConvAveraged.*:CudaFire.*WhenPooled:CudaRead*:CudaMaxPool.*'
few+=':CudaNet.FireThenAverage:CudaNet.OnePixel'
for tool in memcheck racecheck initcheck synccheck; do
  part "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 "$tests" --gtest_filter="$few"
done

part 'squish-bench' 30 bash -c "python3 tools/bench/make_nets.py '$build/nets' &&
  '$build'/tools/bench/squish-bench --device cuda --json '$results/squish-bench.json' '$build'/nets/*.squish"
part 'beside PyTorch' 240 python3 tools/bench/compare_gpu.py --limit 150 --json "$results/results.json"

echo "log.txt, results.json: $results"
exit "$failed"
