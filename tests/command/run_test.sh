#!/usr/bin/env bash
# launch/run.sh: what it makes of a machine, and how it stops a training.
#   run_test.sh TESSERA SOURCE_FOLDER
set -uo pipefail
TESSERA=$(realpath "$1")
export TESSERA
source=$(realpath "$2")
run=(bash "$source/launch/run.sh")
work=$(mktemp -d)
job=''
trap 'kill -KILL $job 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
unset OMP_NUM_THREADS CUDA_VISIBLE_DEVICES
failures=0
complain() {
  echo "FAILED: $*"
  sed 's/^/    /' output
  failures=$((failures + 1))
}

# A machine of files: two sockets of four cores with two threads each, as lscpu tells them.
machine=$work/machine
mkdir -p bin "$machine/proc/self" "$machine/sys/fs/cgroup/job/step"
cat >bin/lscpu <<'SH'
#!/bin/sh
echo "# CPU,Core,Socket,Node"
for cpu in $(seq 0 15); do echo "$cpu,$((cpu % 8)),$((cpu % 8 / 4)),$((cpu % 8 / 4))"; done
SH
chmod +x bin/lscpu
machine_with() { # CPUS CGROUPS
  printf 'Name:\tbash\nCpus_allowed_list:\t%s\n' "$1" >"$machine/proc/self/status"
  printf '%s\n' "$2" >"$machine/proc/self/cgroup"
}
quick=$source/configs/demo/quickstart.toml
# shows TEXT ARGUMENTS...: what would be run
shows() {
  local text=$1
  shift
  env PATH="$work/bin:$PATH" HARDWARE_ROOT="$machine" "${run[@]}" --show "$@" >output 2>&1
  grep -qF -- "$text" output || complain "no '$text' of: $*"
}
machine_with 0-15 0::/job/step
shows "8 ranks with 1 threads each on 8 cores in 2 memory domains" train "$quick"
shows "-n 8 --map-by ppr:4:numa --bind-to numa" train "$quick"
shows "2 ranks with 4 threads" train "$quick" --set stage.2.batch=9 --out x
shows "1 ranks with 8 threads" train "$quick" --set=stage.2.batch=3
shows "-n 3 --bind-to none" -n 3 train "$quick"
shows "--oversubscribe" -n 9 train "$quick"
machine_with 0-3,8-11 0::/job/step # one socket with its hyper-threads
shows "4 ranks with 1 threads each on 4 cores." train "$quick"
echo "max 100000" >"$machine/sys/fs/cgroup/job/step/cpu.max"
echo "250000 100000" >"$machine/sys/fs/cgroup/job/cpu.max" # a quota counts for all groups below
shows "2 ranks with 1 threads each on 2 cores." train "$quick"
mkdir -p "$machine/sys/fs/cgroup/cpu/one"
echo 50000 >"$machine/sys/fs/cgroup/cpu/one/cpu.cfs_quota_us"
echo 100000 >"$machine/sys/fs/cgroup/cpu/one/cpu.cfs_period_us"
machine_with 0-15 4:cpu,cpuacct:/one
shows "1 ranks with 1 threads each on 1 cores" train "$quick"
shows "1 ranks" sample --checkpoint x
printf '#!/bin/sh\necho "GPU 0: one"\necho "GPU 1: two"\n' >bin/nvidia-smi
printf '#!/bin/sh\necho "libcuda.so.1 => x"\n' >bin/ldd
chmod +x bin/nvidia-smi bin/ldd
shows "2 ranks with 1 threads each on 2 GPUs" train "$quick"
CUDA_VISIBLE_DEVICES=1 shows "1 ranks with 1 threads each on 1 GPUs" train "$quick"

# expect CODE TEXT ARGUMENTS...
expect() {
  local code=$1 text=$2 got
  shift 2
  "${run[@]}" "$@" >output 2>&1
  got=$?
  [ "$got" -eq "$code" ] && grep -qF -- "$text" output || complain "exit $got, wanted $code and '$text', of: $*"
}
expect 0 "edm-heun" plugins
expect 0 "usage" train --help
expect 2 "Did you mean 'train'" trian
expect 2 "CONFIG is missing" -n 2 train
expect 2 "-n takes" -n none train
expect 1 "nowhere" -n 2 train "$quick" --set data.path=nowhere --out x
TESSERA=nowhere expect 2 "bash launch/build.sh" train "$quick"

cat >short.toml <<'TOML'
[run]
precision = "float32"
sample_every = 0
log_every = 1
[data]
path = ["data"]
[[stage]]
name = "small"
resolution = 16
steps = 60
batch = 6
mask_ratio = 0.75
learning_rate = 1e-3
TOML
"$TESSERA" data build emoji --config "$quick" --subset shapes --size 16 --out data >output 2>&1 || complain "no data"
for signal in TERM INT USR1; do
  # As from a terminal: without job control a shell would start it deaf to INT.
  set -m
  "${run[@]}" -n 2 train "$quick" short.toml --out run --resume >output 2>&1 &
  job=$!
  set +m
  before=$(wc -l 2>/dev/null <run/metrics.jsonl || echo 0)
  for _ in $(seq 300); do
    [ "$(wc -l 2>/dev/null <run/metrics.jsonl || echo 0)" -gt "$before" ] && break
    sleep 0.1
  done
  kill -s "$signal" "$job"
  wait "$job"
  code=$?
  [ "$code" -eq 75 ] && grep -qF "repeat the command with --resume" output || complain "$signal gave exit code $code"
done
expect 0 "The run is complete" -n 2 train "$quick" short.toml --out run --resume

[ "$failures" -eq 0 ] && echo "all as expected"
exit "$failures"
