# Sourced. Runs a command as a child in such a way that signals to this shell become an orderly stop of the
# child, and its exit code comes back, also when signals interrupt the waiting.
#
#   supervise SIGNAL COMMAND...
# SIGNAL is what the command takes as the wish to stop: USR1 for training, which then saves and ends with 75
# (mpirun and srun pass it on to every rank; on TERM mpirun would kill them instead). USR1, TERM and the first INT
# are passed on as that, a second INT as TERM. Returns the command's exit code; `noticed` is 1 when a signal came,
# else empty.

supervise() {
  local wish=$1 child code interrupts=0 interrupted
  shift
  noticed=
  "$@" </dev/null &
  child=$!
  trap 'interrupted=1; noticed=1; kill -s "$wish" "$child" 2>/dev/null' USR1 TERM
  trap 'interrupted=1; noticed=1; interrupts=$((interrupts + 1))
    if [ "$interrupts" -gt 1 ]; then kill -s TERM "$child"; else kill -s "$wish" "$child"; fi 2>/dev/null' INT
  while :; do
    interrupted=''
    wait "$child"
    code=$?
    [ -n "$interrupted" ] || break
  done
  trap - USR1 INT TERM
  return "$code"
}
