# Sourced by the batch scripts: what they have in common. `home` is the folder of the repository.
# TESSERA_* variables are explained in slurm/README.md.

. "$home/launch/supervise.sh"

say() { echo "[$(date '+%F %T')] slurm job $SLURM_JOB_ID: $*"; }
fail() {
  say "$*" >&2
  exit 1
}

# A notice may come before there are ranks to pass it on to.
noticed=''
trap 'noticed=1' USR1 TERM

program=${TESSERA:-$home/build/host/bin/tessera}
[ -x "$program" ] || fail "there is no program '$program'. Build it (bash launch/build.sh), or name it in TESSERA."

# Fills `launcher` with what comes before the program: srun where Slurm offers PMIx, else mpirun.
choose_launcher() {
  local kind=${TESSERA_LAUNCHER:-auto} bind=${TESSERA_BIND:-cores} offered
  offered=$(srun --mpi=list 2>&1)
  if [ "$kind" = auto ]; then
    kind=mpirun
    grep -qw pmix <<<"$offered" && kind=srun
  fi
  # Slurm tells srun nothing of sbatch's --cpus-per-task.
  if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then
    export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK OMP_NUM_THREADS=${OMP_NUM_THREADS:-$SLURM_CPUS_PER_TASK}
  fi
  case $kind in
    srun)
      # A rank that dies takes the others with it within a minute; at the end all leave within moments.
      launcher=(srun "--mpi=${TESSERA_MPI:-pmix}" "--cpu-bind=$bind" --wait=60 --kill-on-bad-exit=0)
      ;;
    mpirun)
      command -v mpirun >/dev/null || fail "Slurm offers no PMIx ($(tr -s '\n\t ' ' ' <<<"$offered")), and there is no mpirun. Load the MPI that Tessera was built with."
      [ "$bind" = cores ] && bind=core
      launcher=(mpirun -q --bind-to "$bind")
      ;;
    *) fail "TESSERA_LAUNCHER is '$kind'; it can be auto, srun or mpirun." ;;
  esac
  say "${SLURM_NTASKS:-1} ranks on ${SLURM_JOB_NUM_NODES:-1} nodes (${SLURM_JOB_NODELIST:-}), started by: ${launcher[*]}"
}

# on_ranks SIGNAL ARGUMENTS...: runs the program with them on all ranks, as supervise does. A step that dies at once is
# tried once more: it has another number then. On a node that was lost and came back Slurm's PMIx finds the remains of
# the same step of the same job in its spool folder, and starts no rank.
on_ranks() {
  local signal=$1 begin=$SECONDS code
  shift
  [ -n "$noticed" ] && return 143
  supervise "$signal" "${launcher[@]}" "$program" "$@"
  code=$?
  if [ "$code" -gt 128 ] && [ -z "$noticed" ] && [ $((SECONDS - begin)) -lt 60 ]; then
    say "The ranks ended at once (exit code $code); they are started once more."
    supervise "$signal" "${launcher[@]}" "$program" "$@"
    code=$?
  fi
  return "$code"
}

# When the job will end: Slurm before 23.02 does not say so in the environment.
know_the_end() {
  local end
  end=$(squeue -h -j "$SLURM_JOB_ID" -o %e 2>/dev/null) && end=$(date -d "$end" +%s 2>/dev/null) &&
    export SLURM_JOB_END_TIME=$end
}

job_state() { scontrol show job "$SLURM_JOB_ID" 2>/dev/null | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p' | head -n 1; }

# newest_step RUN: finished steps of its newest checkpoint; -1 without one.
newest_step() {
  local file
  file=$(find "$1/checkpoints" -maxdepth 1 -name 'step-*.h5' 2>/dev/null | sort | tail -n 1)
  file=${file##*step-}
  if [ -n "$file" ]; then echo $((10#${file%.h5})); else echo -1; fi
}

# makes_progress RUN: counts the stops in a row without a new checkpoint; false after TESSERA_IDLE_REQUEUES.
makes_progress() {
  local note=$1/slurm-requeues step before=-2 idle=0
  step=$(newest_step "$1")
  [ -r "$note" ] && read -r before idle <"$note"
  if [ "$step" -gt "$before" ]; then idle=0; else idle=$((idle + 1)); fi
  mkdir -p "$1" && echo "$step $idle" >"$note"
  [ "$idle" -lt "${TESSERA_IDLE_REQUEUES:-3}" ]
}

# finish CODE RUN: ends the script; a run that stopped early with a checkpoint goes back into the queue.
finish() {
  local code=$1 run=$2 state reply
  # After a notice the ranks may have been killed before they had saved: the checkpoint before counts.
  if [ "$code" -gt 128 ] && [ -n "$noticed" ]; then
    say "The ranks were ended (exit code $code) before a checkpoint; the run goes on from the one before."
    code=75
  fi
  [ "$code" -eq 75 ] || exit "$code"
  if [ -e "$run/stop" ]; then
    say "Not requeued: somebody asked the run to rest ($run/stop). Submit it again to go on."
    exit 75
  fi
  [ "${TESSERA_REQUEUE:-1}" = 1 ] || exit 75
  state=$(job_state)
  case $state in
    RUNNING | COMPLETING | PENDING | PREEMPTED | TIMEOUT) ;;
    *)
      say "Not requeued: the job is $state."
      exit 75
      ;;
  esac
  if ! makes_progress "$run"; then
    say "Not requeued: stopped ${TESSERA_IDLE_REQUEUES:-3} times in a row without a new checkpoint." \
      "Give the job more time, or a longer notice (--signal=B:USR1@SECONDS)." >&2
    exit 1
  fi
  say "Stopped at step $(newest_step "$run"); back into the queue."
  if ! reply=$(scontrol requeue "$SLURM_JOB_ID" 2>&1) && [[ $reply != *"pending execution"* ]]; then
    fail "Slurm did not requeue the job (${reply//$'\n'/ }). Submit it again to go on."
  fi # it is pending already when Slurm itself put it back, to preempt it or because a node was lost
  exit 75
}
