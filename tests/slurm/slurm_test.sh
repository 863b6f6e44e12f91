#!/usr/bin/env bash
# The batch scripts of slurm/ on a real Slurm of two nodes: data built by an array, a training that is given
# notice, preempted, loses a node, reaches its time limit and is asked to rest, and ends in the bytes of one that
# was left alone; and what must not be requeued.
#   slurm_test.sh TESSERA SOURCE_FOLDER [SCENE...]      all scenes without names; 77: skipped, not root
#
# It runs in namespaces of its own where the machine allows that: network, host name, processes, temporary files;
# whatever happens to it, nothing stays. Elsewhere private ports and folders keep runs apart.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ -z "${SLURM_TEST_WORK:-}" ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "SKIPPED: Slurm's daemons run jobs as their users and so need root; run the tests as root for this one."
    exit 77
  fi
  for program in munged slurmctld slurmd sbatch srun scontrol ip ss setpriv unshare; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null && continue
    echo "FAILED: '$program' is missing. bash launch/install_packages.sh --tests installs it."
    exit 1
  done
  SLURM_TEST_WORK=$(mktemp -d "${TMPDIR:-/tmp}/tessera-slurm-XXXXXX")
  chmod 755 "$SLURM_TEST_WORK" # munge wants its socket in reach of all
  export SLURM_TEST_WORK PATH=$PATH:/usr/sbin:/sbin
  own=() how=TERM
  spaces=(unshare --mount --uts --net --pid --fork --kill-child --mount-proc)
  "${spaces[@]}" true 2>/dev/null && own=("${spaces[@]}") how=KILL && export SLURM_TEST_NAMESPACES=1
  end() {
    kill -s "$how" "$child" 2>/dev/null
    wait "$child" 2>/dev/null
    rm -rf "$SLURM_TEST_WORK"
  }
  # When this shell is killed, so is the child, and with the first process of a namespace all others.
  setpriv --pdeathsig "$how" "${own[@]}" bash "${BASH_SOURCE[0]}" "$@" &
  child=$!
  trap end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  wait "$child"
  exit $?
fi

tessera=$(realpath "$1")
source=$(realpath "$2")
scenes=("${@:3}")
. "$here/cluster.sh"

if [ -n "${SLURM_TEST_NAMESPACES:-}" ]; then
  mount -t tmpfs none "$SLURM_TEST_WORK" && mount -t tmpfs none /dev/shm || exit 1
  hostname tessera-test
  # With nothing but 127.0.0.1, names do not resolve for the daemons (AI_ADDRCONFIG).
  ip link set lo up && ip addr add 10.255.0.1/32 dev lo || exit 1
  printf '127.0.0.1 localhost\n127.0.0.1 tessera-test\n' >"$SLURM_TEST_WORK/hosts"
  mount --bind "$SLURM_TEST_WORK/hosts" /etc/hosts || exit 1
elif ! getent ahostsv4 "$(hostname)" >/dev/null; then
  echo "FAILED: the host name '$(hostname)' does not resolve, and this machine allows no namespace in which it would." \
    "Add the line '127.0.0.1 $(hostname)' to /etc/hosts."
  exit 1
fi
cd "$SLURM_TEST_WORK" || exit 1
mkdir tmp jobs
export TMPDIR=$SLURM_TEST_WORK/tmp TESSERA=$tessera TESSERA_HOME=$source OMP_NUM_THREADS=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_oob_tcp_if_include=lo OMPI_MCA_btl_tcp_if_include=lo
for variable in ${!SLURM@}; do # of a job that this test may itself be part of
  case $variable in SLURM_TEST_*) ;; *) unset "$variable" ;; esac
done
trap 'stop_cluster "$SLURM_TEST_WORK/cluster"' EXIT
trap 'exit 143' INT TERM HUP
if ! start_cluster "$SLURM_TEST_WORK/cluster"; then
  echo "FAILED: Slurm did not start"
  tail -n 30 cluster/log/* 2>/dev/null
  exit 1
fi

failures=0
begin=$SECONDS
note() { printf '[%2d s] %s\n' $((SECONDS - begin)) "$*"; }
complain() {
  note "FAILED: $*"
  failures=$((failures + 1))
}
give_up() {
  complain "$*"
  squeue -l
  tail -n 30 jobs/*.log cluster/log/*.log
  exit 1
}

# submit SCRIPT ARGUMENTS...; `options` are sbatch's. Sets `job`.
submit() {
  local script=$1
  shift
  job=$(sbatch --parsable "${options[@]}" --output="jobs/%j.log" "$source/slurm/$script.sbatch" "$@") ||
    give_up "sbatch $script"
}
# Asks Slurm about a job; `field NAME` is then what it said.
look() { shown=$(scontrol show job "$1" 2>/dev/null | tr -s '\n ' ' '); }
field() { [[ " $shown " =~ \ $1=([^ ]*)\  ]] && echo "${BASH_REMATCH[1]}"; }
is() { [[ " $shown " == *" $1=$2 "* ]]; }
# A requeued job waits six seconds before it may start again. Two are enough, fewer are not: slurmd refuses a
# credential of the second in which it revoked the job's last one.
hurried=''
hurry() {
  is Reason BeginTime && [ "$hurried" != "$job $(field Restarts)" ] || return 0
  hurried="$job $(field Restarts)"
  scontrol update JobId="$job" StartTime=now+2
}
# until_true SECONDS COMMAND...
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}
is_over() {
  look "$1"
  hurry
  is JobState COMPLETED || is JobState FAILED || is JobState CANCELLED || is JobState TIMEOUT
}
steps() { if [ -e "$1/metrics.jsonl" ]; then wc -l <"$1/metrics.jsonl"; else echo 0; fi; }
has_reached() { [ "$(steps "$1")" -ge "$2" ]; }
# advance RUN: waits until it has made some steps more.
advance() {
  local target=$(($(steps "$1") + 12)) end=$((SECONDS + 40))
  until has_reached "$1" "$target"; do
    [ "$SECONDS" -lt "$end" ] || give_up "$1 did not reach step $target"
    sleep 0.05
  done
}
has_restarted() {
  look "$job"
  hurry
  is JobState RUNNING && [ "$(field Restarts)" -ge "$1" ]
}
restarts() { until_true 40 has_restarted "$1" || give_up "the job was not started again after $2"; }
# ends JOB STATE EXIT_CODE
ends() {
  until_true 60 is_over "$1" || give_up "job $1 does not end"
  is JobState "$2" && is ExitCode "$3:0" ||
    give_up "job $1 ended as $(field JobState), exit code $(field ExitCode), not as $2, $3:0"
}
says() { grep -qF -- "$2" "jobs/$1.log" || complain "job $1 does not say '$2': $(cat "jobs/$1.log")"; }
digest() { "$tessera" checkpoint show "$1"/checkpoints/step-00000260.h5 | sed -n 's/^ *digest *//p'; }
wanted() { [ ${#scenes[@]} -eq 0 ] || [[ " ${scenes[*]} " == *" $1 "* ]]; }

cp "$here/toy.toml" .
note "the cluster is up: $(sinfo -h -o '%D nodes %t')"

options=(--array=1-2)
submit prepare emoji --config toy.toml --subset shapes --size 16 --out data
until_true 30 test -e data/shard-00000-of-00002.h5 || give_up "no data set"
"$tessera" data show data --verify >/dev/null || give_up "the data set is damaged"
note "an array of two built the data set"

options=(-N 2 --ntasks-per-node=1)
if wanted stops; then
  TESSERA_LAUNCHER=mpirun submit train toy.toml --out whole
  ends "$job" COMPLETED 0
  says "$job" "2 ranks on 2 nodes (n[1-2]), started by: mpirun"
  note "a run that nothing disturbs, by mpirun"

  submit train toy.toml --out cut
  advance cut
  says "$job" "started by: srun --mpi=pmix"
  scancel --batch --signal=USR1 "$job"
  restarts 1 "a notice"
  says "$job" "Stopping early with a checkpoint, for a signal"
  note "went on after a notice, at step $(steps cut)"

  # Slurm looks at time limits every 30 seconds. The ranks hold still till then; it wakes them to end them.
  advance cut
  scancel --signal=STOP "$job"
  scontrol update JobId="$job" EndTime=now+1second
  restarts 2 "its time limit"
  note "went on after its time limit, at step $(steps cut)"

  advance cut
  scontrol requeue "$job"
  restarts 3 "a requeue"
  note "went on after it was preempted, at step $(steps cut)"

  advance cut
  lose_node "$SLURM_TEST_WORK/cluster" n2
  restarts 4 "the loss of a node"
  note "went on after it lost a node, at step $(steps cut)"

  advance cut
  touch cut/stop
  ends "$job" FAILED 75
  says "$job" "somebody asked the run to rest"
  note "rests after touch cut/stop"

  TESSERA_LAUNCHER=mpirun submit train toy.toml --out cut
  options=(--dependency=afterok:"$job" -N 2 --ntasks-per-node=1)
  first=$job
  submit sample --checkpoint cut --prompt "red heart" "blue circle" --steps 2 --out grid.png
  drawing=$job job=$first
  advance cut
  scancel --batch --signal=USR1 "$job"
  restarts 1 "a notice to mpirun"
  note "went on under mpirun after a notice, at step $(steps cut)"
  ends "$job" COMPLETED 0
  ends "$drawing" COMPLETED 0
  [ -s grid.png ] || complain "the sampling job drew nothing"
  [ "$(steps cut)" -eq 260 ] || complain "the metrics have $(steps cut) lines for 260 steps"
  if [ "$(digest whole)" != "$(digest cut)" ] || [ -z "$(digest cut)" ]; then
    complain "the disturbed run ended as '$(digest cut)', the other as '$(digest whole)'"
  fi
  note "the disturbed run's checkpoint has the digest of the other's: $(digest cut)"
fi

options=(-N 2 --ntasks-per-node=1)
if wanted errors; then
  TESSERA_LAUNCHER=srun TESSERA_MPI=none submit train toy.toml --out apart
  ends "$job" FAILED 1
  is Restarts 0 || complain "an error was requeued"
  [ "$(grep -c 'one of 2 that srun started' "jobs/$job.log")" -eq 1 ] ||
    complain "not told once: $(cat "jobs/$job.log")"
  [ -e apart ] && complain "ranks that do not know each other made a run folder"
  note "ranks without PMIx are refused, and not requeued"

  printf '#!/bin/sh\nexit 75\n' >stubborn && chmod +x stubborn
  TESSERA=$PWD/stubborn TESSERA_IDLE_REQUEUES=1 submit train toy.toml --out idle
  ends "$job" FAILED 1
  is Restarts 1 || complain "$(field Restarts) restarts without progress"
  says "$job" "without a new checkpoint"
  note "a job that makes no progress is not requeued for ever"
fi

[ "$failures" -eq 0 ] && note "all as expected"
exit "$((failures > 0))"
