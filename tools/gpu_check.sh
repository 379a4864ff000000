#!/usr/bin/env bash
# For the moment when a GPU is there: builds, tests, checks with compute-sanitizer and measures, in under nine minutes.
#
#     tools/gpu_check.sh [RESULTS]         [gpu-check]
#
# Needs nvcc, CMake, ninja, GoogleTest and a Python with PyTorch (CUDA), NumPy, Pillow, pybind11 and pytest; no network.
# RESULTS gets log.txt, results.json, compiled.json, autotuned.json and a line a part in summary.txt. Exits with 1 if a
# part failed or was left out, with 2 where there is no GPU. What was measured on hardware belongs into docs/results.
#
#     GPU_CHECK_SECONDS   that it may take in all [530]; what comes too late is left out, and said so
#     PARTS               a regular expression: only the build and parts whose names it matches, as for what was left out
#     GOOGLETEST          the folder of GoogleTest's sources, where it is not installed
#     PHOTOGRAPHS, NETS   train/ and val/ of photographs, a folder or a tar file, and nets of their classes: whether first
#                         labels are the same in f16 and int8
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH=$PATH:/usr/local/cuda/bin

results=${1:-gpu-check}
if ! name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>&1); then
  echo "gpu_check.sh: no GPU: nvidia-smi says: ${name:-nothing}" >&2
  exit 2
fi
mkdir -p "$results" && results=$(cd "$results" && pwd) || exit 1
log=$results/log.txt summary=$results/summary.txt
: >"$log" >"$summary"
build=build/gpu
total=${GPU_CHECK_SECONDS:-530}
grace=5  # from asking a part to end to killing it
least=10  # seconds, that a part is begun with
failed=0

# clipped SECONDS: so many, or what is left.
clipped() {
  local left=$((total - SECONDS - grace))
  echo $((left < $1 ? left : $1))
}

asked_for() { [[ -z ${PARTS:-} || $1 =~ $PARTS ]]; }

# skip NAME WHY: says that a part was left out, which is not the same as passed.
skip() {
  asked_for "$1" && leave_out "$@"
}

leave_out() {
  failed=1
  printf '%-24s LEFT OUT: %s\n' "$1" "$2" | tee -a "$summary"
}

# part NAME SECONDS COMMAND...: runs it where it was asked for, keeps what it says in the log, and goes on.
part() {
  asked_for "$1" && run "$@"
}

# run NAME SECONDS COMMAND...: a part that others need.
run() {
  local what=$1 limit begin=$SECONDS
  limit=$(clipped "$2")
  shift 2
  if ((limit < least)); then
    leave_out "$what" "no time left of $total s"
    return
  fi
  printf '\n== %s: %s\n' "$what" "$*" >>"$log"
  timeout -k "$grace" "$limit" "$@" >>"$log" 2>&1
  local status=$?
  case $status in
    0) status="passed" ;;
    124 | 137) status="FAILED: more than $limit s" failed=1 ;;
    *) status="FAILED: status $status" failed=1 ;;
  esac
  printf '%-24s %s, %d s\n' "$what" "$status" $((SECONDS - begin)) | tee -a "$summary"
}

# compare NAME SECONDS FILE OPTION...: this engine beside PyTorch, which is made ready in two thirds of the time.
compare() {
  local what=$1 limit file=$3
  limit=$(clipped "$2")
  shift 3
  part "$what" "$limit" python3 tools/bench/compare_gpu.py --limit $((limit * 2 / 3)) --last $((limit - 30)) \
    --json "$results/$file" "$@"
}

{
  echo "GPU: $name"
  nvidia-smi --query-gpu=driver_version,clocks.max.sm,power.limit --format=csv
  nvcc --version | tail -2
  git log -1 --format='commit %H' 2>/dev/null
} >>"$log" 2>&1
echo "$name" | tee -a "$summary"

run configure 60 cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSQUISH_CUDA=ON \
  -DCMAKE_CUDA_ARCHITECTURES=native -DSQUISH_TESTS=ON -DSQUISH_PYTHON=ON -DSQUISH_BENCH=ON \
  ${GOOGLETEST:+-DSQUISH_GOOGLETEST="$GOOGLETEST"} -DPython_EXECUTABLE="$(command -v python3)" \
  -Dpybind11_DIR="$(python3 -m pybind11 --cmakedir 2>/dev/null)"
run build 180 cmake --build "$build" --parallel --target _core squish-bench

tests=$build/tests/cuda/squish_cuda_device_tests
if grep -q 'squish_cuda_device_tests' "$build/build.ninja" 2>/dev/null; then
  run 'build of the tests' 120 cmake --build "$build" --parallel --target squish_cuda_device_tests
  # An illegal access fails all that the same process does after it.
  part 'kernels and nets' 60 bash -c 'pids=() status=0
    for ((shard = 0; shard < 8; shard++)); do
      GTEST_TOTAL_SHARDS=8 GTEST_SHARD_INDEX=$shard "$0" --gtest_brief=1 & pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
    exit "$status"' "$tests"
  # As they are used: launches return at once, and only the runtime's own waiting is left.
  part 'nets, not blocking' 30 env CUDA_LAUNCH_BLOCKING=0 "$tests" \
    --gtest_filter='CudaNet.*:*CudaRandomNets.*:CudaIntegerNet.*:*CudaRandomIntegerNets.*'
else
  why='not configured'
  [[ -f $build/build.ninja ]] && why='no GoogleTest: GOOGLETEST=folder of its sources'
  skip 'kernels and nets' "$why"
  tests=
fi

# The package as it lies here, with the module that was built.
site=$build/site
if compgen -G "$build/cpp/bindings/_core*.so" >/dev/null; then
  mkdir -p "$site/squishnative"
  ln -sf "$PWD"/python/squishnative/* "$PWD/$build"/cpp/bindings/_core*.so "$site/squishnative/"
fi
export PYTHONPATH=$PWD/$site

# Without our options, which need pytest-benchmark.
part 'the package' 60 python3 -m pytest -q -o addopts= -m 'not slow' tests/python/test_device_arrays.py \
  tests/python/test_net.py

# Every instruction is watched, so a few cases of each kernel must do.
nets='CudaNet.FireThenAverage:CudaNet.OnePixel:CudaIntegerNet.OnePixelAndDeadWeights:CudaIntegerNet.OutputOfAPool'
few='CudaConv.AgreesWithPlainLoopsForAnyWindow:CudaConvPooled.*:CudaFire.*WhenPooled:CudaRead*:CudaMaxPool.*'
few+=':CudaConvMma/*.*Slices:CudaConvMmaPooled/*.*AnyTiles:CudaFireMma/*.*AnyTiles:CudaFireMma/*.*WhenPooled'
few+=':CudaIntegerConv.IsPlainLoopsForAnyWindow:CudaIntegerConvPooled.*'
few+=':CudaIntegerConvMma.AddsUpSlices:CudaIntegerConvMmaPooled.*'
few+=':CudaAverage.*:CudaAdd.*:CudaWriteFloats.*'
few+=':CudaIntegerAverage.*:CudaIntegerAdd.*:CudaIntegerMaxPool.*:CudaIntegerInput.*'
few+=:$nets

# sanitize TOOL TESTS
sanitize() {
  if [[ -z $tests ]]; then
    skip "$1" 'no tests'
    return
  fi
  part "$1" 60 compute-sanitizer --tool "$1" --error-exitcode 9 "$tests" --gtest_filter="$2"
}

# What is wrong first, then how fast, then what can wait.
sanitize memcheck "$few"
sanitize racecheck "$few"
sanitize initcheck "$nets"  # the kernels' own tests write managed memory on the host, which it does not see
sanitize synccheck "$few"
run 'making of nets' 30 python3 tools/bench/make_nets.py "$build/nets"
part 'squish-bench' 30 bash -c "'$build'/tools/bench/squish-bench --device cuda \
  --json '$results/squish-bench.json' '$build'/nets/*.squish"
compare 'beside PyTorch' 240 results.json
if [[ -n ${PHOTOGRAPHS:-} ]]; then
  # shellcheck disable=SC2086  # several files
  part 'first labels' 60 python3 tools/bench/agreement.py --device cuda --data "$PHOTOGRAPHS" \
    --json "$results/agreement.json" ${NETS:-}
fi
# What each step takes beside the model's way and the fastest: what the constants of cuda/choose_mma.cc are to be held against.
part 'squish-bench --tune' 40 bash -c "for storage in f32 f16; do
  '$build'/tools/bench/squish-bench --device cuda --tune --storage \$storage --profile \
    --json '$results/squish-bench-tuned-'\$storage.json '$build'/nets/dense.squish || exit; done"
compare 'beside torch.compile' 240 compiled.json --compiled --modes reduce-overhead
compare 'beside max-autotune' 240 autotuned.json --compiled --modes max-autotune

echo "log.txt, results.json: $results"
exit "$failed"
