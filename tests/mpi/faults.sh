#!/bin/bash
# faults.sh MPIEXEC mpi_train tessera CLOCK [REPEAT]: faults that are seen from outside a job only. Ranks that hang or
# die end it in time, with the right words once, leaving no process, and the run goes on in the same bits; ranks that
# are not alike do not begin; a wall clock that jumps (CLOCK, a library to preload) changes nothing.
mpiexec=$1 program=$2 tessera=$3 clock=$4 repeat=${5:-2}
folder=$(mktemp -d -p /dev/shm tessera-test-XXXXXX 2>/dev/null || mktemp -d)
trap 'rm -rf "$folder"' EXIT
export TRAIN_PROBE=$folder
failures=0
complain() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}
now() { date +%s%N; }

# probe TEST RUN [RANKS]: output in $folder/log
probe() {
  TRAIN_PROBE_RUN=$2 timeout -s KILL 60 "$mpiexec" -n "${3:-2}" --oversubscribe "$program" \
    --gtest_also_run_disabled_tests --gtest_filter="Probe.DISABLED_$1" >"$folder/log" 2>&1
}
fault() {  # SIGNAL WORDS STEP RUN
  TRAIN_FAULT=$1 TRAIN_FAULT_AT=$2 TRAIN_FAULT_STEP=$3 probe Fault "$4"
}
no_process_stays() {
  local process left=""
  for process in /proc/[0-9]*; do
    if tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -qx "TRAIN_PROBE=$folder" &&
      [ "$(cat "$process/comm" 2>/dev/null)" = "$(basename "$program")" ]; then
      left="$left ${process#/proc/}"
    fi
  done
  [ -z "$left" ] || complain "processes stay:$left"
}
# ends_within SECONDS CODE COMMAND...
ends_within() {
  local limit=$1 code=$2 begin status taken
  shift 2
  begin=$(now)
  "$@"
  status=$?
  taken=$((($(now) - begin) / 1000000))
  echo "${*:1:5}: exit code $status after $taken ms"
  if [ "$code" = any ]; then
    [ "$status" != 0 ] || complain "it should have failed"
  else
    [ "$status" = "$code" ] || complain "exit code $status instead of $code: $(cat "$folder/log")"
  fi
  [ "$taken" -le $((limit * 1000)) ] || complain "it took more than $limit s"
  no_process_stays
}
says() {  # TEXT: in exactly one line
  local lines
  lines=$(grep -c -- "$1" "$folder/log")
  [ "$lines" = 1 ] || complain "'$1' is in $lines lines of: $(cat "$folder/log")"
}
same_bits() {  # RUN
  probe Same "$1" 1 || complain "$1 is not the run that it would have been: $(cat "$folder/log")"
}

probe Files none 1 || { cat "$folder/log"; exit 1; }
fault 0 none 0 whole || { cat "$folder/log"; exit 1; }

# A rank that hangs: the watchdog looks for 2 s. (SIGSTOP, and a main thread that does nothing any more)
host=$(hostname)
hang() {  # SIGNAL WORDS SPEAKER STATE
  local run="hang-$1"
  ends_within 25 1 fault "$1" "$2" $((RANDOM % 30 + 5)) "$run"
  says "^probe: rank "
  says "^probe: rank $3: .*rank 1 (process [0-9]* on $host$4) hangs in: step [0-9]*, stage '[a-z]*', .*$2"
  says "rank 0 waits for the others in: step [0-9]*, stage "
  ends_within 60 0 fault 0 none 0 "$run"
  same_bits "$run"
}
hang 19 "forward" 0 ", stopped by a signal"
hang 12 "forward" 1 ""

# Over nodes the one with the rank that hangs speaks first, and alone.
two_nodes() {
  TRAIN_PROBE_RUN=nodes TRAIN_FAULT=19 TRAIN_FAULT_AT=forward TRAIN_FAULT_STEP=5 timeout -s KILL 60 \
    bash "$(dirname "$0")/two_nodes.sh" "$mpiexec" -x TRAIN_PROBE -x TRAIN_PROBE_RUN -x TRAIN_FAULT -x TRAIN_FAULT_AT \
    -x TRAIN_FAULT_STEP "$program" --gtest_also_run_disabled_tests --gtest_filter=Probe.DISABLED_Fault \
    >"$folder/log" 2>&1
}
if unshare --uts true 2>/dev/null; then
  ends_within 20 1 two_nodes
  says "^probe: rank "
  says "^probe: rank 2: .*rank 3 (process [0-9]* on node2, stopped by a signal) hangs in: step [0-9]*, .*forward"
fi

# A rank that dies: mpirun says so.
lose() {  # WORDS
  local i run
  for ((i = 0; i < repeat; ++i)); do
    run="lost-${1// /-}-$i"
    ends_within 10 any fault 9 "$1" $((RANDOM % 40 + 3)) "$run"
    says "rank 1 .*on signal 9"
    [ "$(grep -c '^probe:' "$folder/log")" = 0 ] || complain "more words than needed: $(cat "$folder/log")"
    ends_within 60 0 fault 0 none 0 "$run"
    same_bits "$run"
  done
}
lose "forward"
lose "sums of the gradients"

# Ranks that are not alike.
train() {  # RUN SETTINGS-OF-RANK-0 SETTINGS-OF-RANK-1
  timeout -s KILL 60 "$mpiexec" -n 1 --oversubscribe "$tessera" train "$folder/toy.toml" --out "$folder/$1" $2 : \
    -n 1 "$tessera" train "$folder/toy.toml" --out "$folder/$1" $3 >"$folder/log" 2>&1
}
short="--set stage.0.warmup=0 --set stage.0.steps=3 --set stage.1.steps=1"
ends_within 10 1 train unlike "$short" "$short --set stage.0.batch=9"
says "^tessera: "
says "^  rank 1 (node $host): stage.0.batch = 9, others 7"
[ ! -e "$folder/unlike" ] || complain "a run that did not begin left a folder"
mkdir "$folder/other" && cp "$folder"/data/*.h5 "$folder/other" && rm "$folder"/other/shard-00002-of-00003.h5
mv "$folder/other/shard-00000-of-00003.h5" "$folder/other/a.h5"
mv "$folder/other/shard-00001-of-00003.h5" "$folder/other/b.h5"
ends_within 10 1 train unlike "$short" "$short --set data.path=$folder/other"
says "^  rank 1 (node $host): data of stage.0 = 17 records in 2 shards, contents [0-9a-f]*, others 19 records in 3"
ln -s "$folder/data" "$folder/link"
ends_within 20 0 train alike "$short" "$short --set data.path=$folder/link --set data.workers=2"

# A wall clock that jumps.
LD_PRELOAD=$clock fault 0 none 0 jumping || complain "the clock ended the run: $(cat "$folder/log")"
same_bits jumping
years=$(cut -c1-4 "$folder/jumping/log.txt" | sort -u | wc -l)
[ "$years" -gt 1 ] || complain "the clock did not jump"

[ "$failures" = 0 ]
