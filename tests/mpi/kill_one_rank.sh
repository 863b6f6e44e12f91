#!/usr/bin/env bash
# One rank is killed with SIGKILL while it makes, fills, syncs, reads back, renames a checkpoint or deletes an older
# one. Whatever has its final name is intact then, and the resumed run ends in the same bits as one that nothing
# happened to.
#   kill_one_rank.sh MPIEXEC mpi_faults RANKS   (REPEAT=20: every fault so many times)
set -u
mpiexec=$1 program=$2 ranks=$3 repeat=${REPEAT:-1}
folder=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$folder"' EXIT
export TRAIN_PROBE=$folder TRAIN_PROBE_SHORT=1
probe() {
  TRAIN_PROBE_RUN="$1" "$mpiexec" -n "$ranks" --oversubscribe "$program" \
    --gtest_also_run_disabled_tests --gtest_filter=Probe.DISABLED_Run
}
alone() {
  TRAIN_PROBE_RUN=cut "$program" --gtest_also_run_disabled_tests --gtest_filter="Probe.DISABLED_$1" >"$folder/$1.log" 2>&1 ||
    { cat "$folder/$1.log"; echo "after: $fault"; exit 1; }
}
reported() { [ -f "$folder/$1/metrics.jsonl" ] && wc -l <"$folder/$1/metrics.jsonl" || echo 0; }

probe whole >"$folder/whole.log" 2>&1 || { cat "$folder/whole.log"; exit 1; }
for rank in $(seq 0 $((ranks - 1))); do mv "$folder/calls-$rank" "$folder/all-$rank"; done
last=$((ranks - 1))
for round in $(seq "$repeat"); do
  for kind in "0 describe kill_after" "0 reserve kill_before" "$last write kill_before" "$last write kill_after" \
    "$last sync kill_before" "0 read kill_before" "0 rename kill_before" "0 rename kill_after" "0 remove kill_before"; do
    read -r rank call effect <<<"$kind"
    calls=$(awk -v call="$call" '$1 == call { print $2 }' "$folder/all-$rank")
    [ "$calls" -gt 0 ] || { echo "rank $rank makes no call '$call' for a checkpoint"; exit 1; }
    fault="$kind $((1 + (RANDOM * 32768 + RANDOM) % calls))"
    rm -rf "$folder/cut"
    TRAIN_PROBE_FAULT=$fault probe cut >"$folder/cut.log" 2>&1 && { echo "not killed: $fault"; exit 1; }
    grep -q "signal 9" "$folder/cut.log" || { cat "$folder/cut.log"; echo "not killed, but failed: $fault"; exit 1; }
    at=$(reported cut)
    alone Intact
    probe cut >"$folder/cut.log" 2>&1 || { cat "$folder/cut.log"; echo "resumed after: $fault"; exit 1; }
    alone Compare
    echo "killed at step $at, by call $fault of $calls: the same bits"
  done
done
