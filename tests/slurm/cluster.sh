# Sourced. A real Slurm of two nodes with one core each on this machine: munge, slurmctld and two slurmd, with
# private keys, folders and ports, started without systemd and gone with stop_cluster. Needs root.
#   start_cluster FOLDER     exports SLURM_CONF
#   stop_cluster FOLDER
# The facts about Slurm 22.05 that shaped this: several slurmd on one machine need TmpFS, spool, pid and log files
# with %n, else their steps collide; a requeued job waits for AuthInfo's cred_expire before it may start again; a
# pid file is deleted by a slurmctld that ends, so one must have ended before the next starts.

# Whether a process is gone; one that its parent has not reaped yet counts as that.
is_gone() { ! grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"; }

stop_daemon() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] || return 0
  kill "$pid" 2>/dev/null
  for _ in $(seq 100); do
    is_gone "$pid" && return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null
}

# A block of three free TCP ports.
free_ports() {
  local base
  for _ in $(seq 50); do
    base=$((20000 + RANDOM % 10000 * 4))
    [ "$base" -lt 60000 ] || continue
    ss -Hltn 2>/dev/null | awk '{ print $4 }' | grep -qE ":($base|$((base + 1))|$((base + 2)))\$" && continue
    echo "$base"
    return 0
  done
  return 1
}

start_cluster() {
  local folder=$1 host ports memory node
  host=$(hostname -s)
  ports=$(free_ports) || return 1
  memory=$(awk '/MemTotal/ { print int($2 / 1024 * 0.45) }' /proc/meminfo)
  mkdir -p "$folder"/{state,log,run,munge,spool-n1,spool-n2,tmp-n1,tmp-n2}
  chmod 755 "$folder"
  chmod 700 "$folder/state"
  chmod 711 "$folder/munge"
  (umask 077 && head -c 1024 /dev/urandom >"$folder/munge/key")
  export SLURM_CONF=$folder/slurm.conf
  cat >"$SLURM_CONF" <<CONF
ClusterName=tessera
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPort=$ports
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmctldLogFile=$folder/log/slurmctld.log
StateSaveLocation=$folder/state
SlurmdPidFile=$folder/run/slurmd-%n.pid
SlurmdLogFile=$folder/log/slurmd-%n.log
SlurmdSpoolDir=$folder/spool-%n
TmpFS=$folder/tmp-%n
SlurmdParameters=config_overrides
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1,requeue_delay=0
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
KillWait=5
MinJobAge=300
MailProg=/bin/true
PropagateResourceLimits=NONE
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((ports + 1)) CPUs=1 RealMemory=$memory State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((ports + 2)) CPUs=1 RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  echo "CgroupAutomount=no" >"$folder/cgroup.conf"
  munged --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/run/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed" --num-threads=2 \
    </dev/null >"$folder/log/start" 2>&1 || return 1
  slurmctld -c -f "$SLURM_CONF" </dev/null >>"$folder/log/start" 2>&1 || return 1
  for node in n1 n2; do slurmd -f "$SLURM_CONF" -N "$node" </dev/null >>"$folder/log/start" 2>&1 || return 1; done
  local end=$((SECONDS + 20))
  while [ "$SECONDS" -lt "$end" ]; do
    [ "$(timeout 2 sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" -eq 2 ] && return 0
    sleep 0.1
  done
  return 1
}

# lose_node FOLDER NODE: as when its power fails: daemon, steps and ranks die at once. Slurm is told, since it would
# wait half a minute for an answer; then the node comes back.
lose_node() {
  local folder=$1 node=$2 process parent
  kill -KILL "$(cat "$folder/run/slurmd-$node.pid")"
  for process in /proc/[0-9]*; do
    tr '\0' '\n' 2>/dev/null <"$process/environ" |
      awk -v node="SLURMD_NODENAME=$node" -v conf="SLURM_CONF=$folder/slurm.conf" \
        '$0 == node { a = 1 } $0 == conf { b = 1 } END { exit !(a && b) }' || continue
    parent=$(awk '/^PPid:/ { print $2 }' "$process/status" 2>/dev/null)
    [ "$(cat "/proc/$parent/comm" 2>/dev/null)" = slurmstepd ] && kill -KILL "$parent"
    kill -KILL "${process#/proc/}" 2>/dev/null
  done
  rm -rf "$folder/tmp-$node"/* # as after the boot; what the step left in the spool folder stays, as on real nodes
  scontrol update nodename="$node" state=down reason=lost
  slurmd -f "$folder/slurm.conf" -N "$node" </dev/null >>"$folder/log/start" 2>&1
}

stop_cluster() {
  local folder=$1 daemon
  SLURM_CONF=$folder/slurm.conf timeout 3 scancel --full --signal=KILL -u root 2>/dev/null
  for daemon in slurmctld slurmd-n1 slurmd-n2 munged; do stop_daemon "$folder/run/$daemon.pid"; done
}
