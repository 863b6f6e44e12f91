#!/usr/bin/env bash
# Configures and builds the `host` preset into build/host.
#   build.sh [--tests]      --tests builds the tests and benchmarks too
# A folder that was configured with tests keeps them: a running test may build the command.
set -euo pipefail
cd "$(dirname "$0")/.."

tests=OFF
grep -qs '^TESSERA_TESTS:BOOL=ON' build/host/CMakeCache.txt && tests=ON
targets=(tessera_command plugins)
if [ "${1:-}" = "--tests" ]; then
  tests=ON
  targets=(all)
fi
mkdir -p build
log=build/host-build.log
echo "Building into build/host (log: $log)"
if ! { cmake --preset host -G Ninja -DTESSERA_TESTS=$tests &&
       cmake --build --preset host --target "${targets[@]}"; } >"$log" 2>&1; then
  tail -n 60 "$log" >&2
  echo "The build failed; the end of $log is above." >&2
  exit 1
fi
