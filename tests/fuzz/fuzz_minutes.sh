#!/usr/bin/env bash
# Builds the libFuzzer programs and runs each for some seconds, starting from the committed corpus. New entries
# stay in the build folder; what crashes a parser is left in build/host-fuzz/faults, to be added to the corpus
# with the repair. Exit code 77 where there is no clang.
#   fuzz_minutes.sh [SECONDS] [TARGET...]     default: 60 seconds, every target
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v clang++ >/dev/null || { echo "clang++ is not installed: apt-get install clang"; exit 77; }
seconds=${1:-60}
shift $(($# > 0 ? 1 : 0))
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(config shard shard_contents checkpoint checkpoint_contents picture captions)

build=build/host-fuzz
cmake --preset host-fuzz -G Ninja >/dev/null
cmake --build "$build" --target fuzz_targets
faults=$build/faults
mkdir -p "$faults"
# What the libraries below keep for the life of the process is no leak of a parser.
export ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS:-}
status=0
for target in "${targets[@]}"; do
  found=$build/corpus/$target
  mkdir -p "$found"
  echo "== $target"
  log=$build/$target.log
  if "$build/bin/fuzz_$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=32768 \
    -print_final_stats=1 -artifact_prefix="$faults/$target-" "$found" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
    grep -E 'Done |stat::number_of_executed|cov:' "$log" | tail -n 3
  else
    tail -n 40 "$log"
    status=1
  fi
done
exit $status
