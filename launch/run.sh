#!/usr/bin/env bash
# Runs a command of `tessera` on this machine, on as many ranks as suit it.
#   launch/run.sh [-n RANKS] [--show] COMMAND [arguments of the command]
#   launch/run.sh train configs/demo/quickstart.toml --out runs/quickstart --resume
#
# Ranks: one per physical core that affinity and the control group's quota allow, but four pictures of the
# smallest batch for each at least; cores that are left become threads of the ranks. On several memory domains
# (NUMA) the same number of ranks on each, kept there. A program built for NVIDIA GPUs gets one rank per GPU.
# -n RANKS overrides the choice, OMP_NUM_THREADS the threads; --show tells it and runs nothing.
#
# Ctrl-C, SIGTERM and SIGUSR1 stop `train` with a checkpoint (exit code 75); a second Ctrl-C ends it at once. Returns the command's exit code. TESSERA names another program than the one built in this folder. On a
# cluster use slurm/train.sbatch.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/hardware.sh"
. "$here/supervise.sh"

fail() {
  echo "launch/run.sh: $*" >&2
  exit 2
}

ranks='' show=''
while [ $# -gt 0 ]; do
  case $1 in
    -n)
      ranks=${2:-}
      [[ $ranks =~ ^[1-9][0-9]*$ ]] || fail "-n takes the number of ranks, not '$ranks'."
      shift 2
      ;;
    --show) show=1 && shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 0 ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || fail "no command is given, for example: launch/run.sh train CONFIG. --help tells more."

gpus=$(visible_gpus)
program=${TESSERA:-}
if [ -z "$program" ]; then
  program=$here/../build/host/bin/tessera
  [ "$gpus" -gt 0 ] && [ -x "$here/../build/cuda/bin/tessera" ] && program=$here/../build/cuda/bin/tessera
fi
program=$(realpath -e -- "$program" 2>/dev/null) || fail "there is no program '$program'. Build it: bash launch/build.sh"

case $1 in train | sample) ;; *) exec "$program" "$@" ;; esac
for word in "$@"; do
  case $word in -h | --help) exec "$program" "$@" ;; esac
done

# The pictures of the run's smallest batch; for what is no run, enough for eight ranks.
smallest_batch() {
  local files=() settings=()
  [ "$1" = train ] || { echo 32 && return; }
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --set) settings+=(--set "${2:-}") && shift ;;
      --set=*) settings+=("$1") ;;
      --out) shift ;;
      -*) ;;
      *) files+=("$1") ;;
    esac
    shift
  done
  "$program" plan --smallest-batch "${files[@]}" "${settings[@]}"
}

cores=$(usable_cores)
domains=$(memory_domains)
placing=(--bind-to none)
if [ "$gpus" -gt 0 ] && ldd "$program" 2>/dev/null | grep -q 'libcuda\.so'; then
  ranks=${ranks:-$gpus}
  what="$gpus GPUs"
else
  if [ -z "$ranks" ]; then
    batch=$(smallest_batch "$@") || exit $?
    ranks=$((batch / 4 < cores ? batch / 4 : cores))
    [ "$ranks" -ge 1 ] || ranks=1
    [ "$ranks" -gt "$domains" ] && ranks=$((ranks / domains * domains))
  fi
  what="$cores cores"
  if [ "$domains" -gt 1 ] && [ $((ranks % domains)) -eq 0 ] && [ "$ranks" -le "$cores" ]; then
    placing=(--map-by "ppr:$((ranks / domains)):numa" --bind-to numa)
    what="$what in $domains memory domains"
  fi
fi
threads=$((cores / ranks))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}
[ "$ranks" -gt "$cores" ] && placing+=(--oversubscribe)
[ "$(id -u)" -eq 0 ] && placing+=(--allow-run-as-root)

echo "launch/run.sh: $ranks ranks with $OMP_NUM_THREADS threads each on $what." >&2
command=(mpirun -q -n "$ranks" "${placing[@]}" "$program" "$@")
if [ -n "$show" ]; then
  printf '%q ' "${command[@]}"
  echo
  exit 0
fi
command -v mpirun >/dev/null || fail "mpirun is missing. Install Open MPI (Debian: openmpi-bin)."
wish=TERM
[ "$1" = train ] && wish=USR1
set -m  # a process group for the child: else Ctrl-C reaches mpirun too, which kills the ranks
supervise "$wish" "${command[@]}"
