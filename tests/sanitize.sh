#!/usr/bin/env bash
# Builds the framework's unit tests with the address and undefined-behaviour sanitizers and runs them.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
log=build/host-sanitize.log
echo "Building the unit tests with sanitizers into build/host-sanitize (log: $log)"
if ! { cmake --preset host-sanitize -G Ninja && cmake --build --preset host-sanitize --target unit_tests plugins; } \
     >"$log" 2>&1; then
  tail -n 60 "$log" >&2
  echo "The build failed; the end of $log is above." >&2
  exit 1
fi
# A refused allocation is an error the tests expect. MPI and oneDNN keep memory until the process ends; their leaks are not ours to find.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 OMP_NUM_THREADS=1
[ "$(id -u)" -eq 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec ctest --test-dir build/host-sanitize --output-on-failure --timeout 900 -L unit
