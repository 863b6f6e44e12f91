#!/usr/bin/env bash
# A run that is killed with SIGKILL at random moments, and resumed each time, ends in the same bits as one that
# never was.   train_kill.sh MPIEXEC mpi_faults RANKS   (TRAIN_PROBE_STAGED=1: with hand-overs and aspect buckets;
# REPEAT=20: so many runs of up to three kills)
set -u
mpiexec=$1 program=$2 ranks=$3
folder=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$folder"' EXIT
export TRAIN_PROBE=$folder
probe() {
  exec env TRAIN_PROBE_RUN="$1" "$mpiexec" -n "$ranks" --oversubscribe "$program" \
    --gtest_also_run_disabled_tests --gtest_filter=Probe.DISABLED_Run
}

(probe whole) >"$folder/whole.log" 2>&1 || { cat "$folder/whole.log"; exit 1; }
reported() { [ -f "$folder/$1/metrics.jsonl" ] && wc -l <"$folder/$1/metrics.jsonl" || echo 0; }
steps=$(reported whole)

killed=0
for round in $(seq "${REPEAT:-1}"); do
  rm -rf "$folder/cut"
  for attempt in 1 2 3; do
    # The whole process group dies at once, as in a power cut.
    setsid bash -c "$(declare -f probe); mpiexec='$mpiexec' program='$program' ranks=$ranks; probe cut" \
      >"$folder/cut.log" 2>&1 &
    job=$!
    if [ "$attempt" = 1 ]; then
      # At a random step: by steps, not by time, since a machine may be slow in one run and fast in the next.
      target=$((steps / 10 + RANDOM % (steps / 2)))
      while [ "$(reported cut)" -lt "$target" ] && kill -0 "$job" 2>/dev/null; do :; done
    else
      sleep "0.$((RANDOM % 700 + 200))"  # anywhere from the start of the resumed run on
    fi
    if kill -KILL -- "-$job" 2>/dev/null; then killed=$((killed + 1)); fi
    wait "$job" 2>/dev/null
    # Open MPI may have given a rank a group of its own.
    for process in /proc/[0-9]*; do
      if tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -qx "TRAIN_PROBE=$folder" &&
        [ "$(cat "$process/comm" 2>/dev/null)" = "$(basename "$program")" ]; then
        kill -KILL "${process#/proc/}" 2>/dev/null
      fi
    done
    echo "attempt $attempt: killed at step $(reported cut) of $steps"
  done
  [ "$killed" -gt 0 ] || { echo "nothing was killed: every attempt ended before its step"; exit 1; }
  (probe cut) >"$folder/cut.log" 2>&1 || { cat "$folder/cut.log"; exit 1; }
  TRAIN_PROBE_RUN=cut "$program" --gtest_also_run_disabled_tests --gtest_filter=Probe.DISABLED_Compare || exit 1
done
echo "the same bits after $killed kills"
