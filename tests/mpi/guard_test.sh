#!/bin/bash
# guard_test.sh MPIEXEC PROBE: every way in which a job can end gives the right exit code within 10 seconds,
# the right words once, and leaves no process and no shared memory file behind.
mpiexec=$1
probe=$2
failures=0
shm_before=$(ls /dev/shm | grep -vE '^tessera-(test|fuzz)-' | sort)

complain() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# expect WAY RANKS CODE TEXT: TEXT must be in exactly one line; empty: no line of the probe's at all
expect() {
  local way=$1 ranks=$2 code=$3 text=$4 output status start seconds lines
  start=$(date +%s.%N)
  if [ "$ranks" = alone ]; then
    output=$(timeout -s KILL 30 "$probe" "$way" 2>&1)
  else
    output=$(timeout -s KILL 30 "$mpiexec" -n "$ranks" --oversubscribe "$probe" "$way" 2>&1)
  fi
  status=$?
  seconds=$(echo "$(date +%s.%N) $start" | awk '{ printf "%.1f", $1 - $2 }')
  lines=$(grep -c '^probe:' <<<"$output")
  echo "$way, $ranks ranks: exit code $status after $seconds s"
  [ "$status" = "$code" ] || complain "exit code $status instead of $code; output: $output"
  awk -v s="$seconds" 'BEGIN { exit !(s < 10) }' || complain "took $seconds s"
  if [ -n "$text" ]; then
    [ "$lines" = 1 ] || complain "$lines lines instead of one: $output"
    grep -q "^probe: .*$text" <<<"$output" || complain "'$text' is not in: $output"
    [ "$(tail -n 1 <<<"$output")" = "$(grep '^probe:' <<<"$output")" ] ||
      complain "the message is not the last line: $output"
  else
    [ "$lines" = 0 ] || complain "unexpected message: $output"
  fi
}

expect done 3 0 ""
expect resume-later 3 75 ""
expect all-usage 3 2 "rank 0: probe.toml:3: no such key. Remedy: Remove it."
expect disagree 2 1 "rank 0: the ranks ended the job with different exit codes"
expect one-in-collective 2 1 "rank 1: probe: shard 7 is truncated"
expect one-in-collective 4 1 "rank 3: probe: shard 7 is truncated"
expect one-while-others-compute 2 1 "rank 1: not an Error of ours"
expect one-with-a-reduction-in-flight 3 1 "rank 2: probe: a NaN in the latents"
expect together 3 1 "rank 0: probe: only this rank saw it"
expect done alone 0 ""
expect resume-later alone 75 ""
expect one-in-collective alone 1 "rank 0: probe: shard 7 is truncated"

sleep 0.5
left=$(pgrep -f "^$probe ")
[ -z "$left" ] || complain "processes left: $left"
new=$(comm -13 <(echo "$shm_before") <(ls /dev/shm | grep -vE '^tessera-(test|fuzz)-' | sort) | grep -i tessera)
[ -z "$new" ] || complain "shared memory left: $new"
[ "$failures" = 0 ]
