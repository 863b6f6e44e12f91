# Sourced. What this process may use of the machine, as plain numbers.
# Functions print one number each; HARDWARE_ROOT (for tests) stands before /proc and /sys.

# The CPUs that affinity allows, one a line: CPU,CORE,SOCKET,NODE (NODE may be empty).
allowed_cpus() {
  local allowed
  allowed=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "${HARDWARE_ROOT:-}/proc/self/status")
  lscpu -p=CPU,CORE,SOCKET,NODE 2>/dev/null | awk -F, -v allowed="$allowed" '
    BEGIN {
      parts = split(allowed, ranges, ",")
      for (i = 1; i <= parts; i++) {
        ends = split(ranges[i], bounds, "-")
        for (cpu = bounds[1] + 0; cpu <= bounds[ends] + 0; cpu++) may[cpu] = 1
      }
    }
    !/^#/ && ($1 in may)'
}

# Whole cores that the quotas of this process's control groups leave it; empty: no quota.
quota_cores() {
  local root=${HARDWARE_ROOT:-} line path folder
  {
    while IFS= read -r line; do
      path=${line##*:}
      case $line in
        0::*) # version 2: the quota of every group above counts too
          folder=$root/sys/fs/cgroup$path
          while :; do
            [ -r "$folder/cpu.max" ] && cat "$folder/cpu.max"
            [ "${#folder}" -le "$((${#root} + 14))" ] && break
            folder=${folder%/*}
          done
          ;;
        *:cpu:* | *:cpu,*:* | *:*,cpu:*)
          for folder in "$root/sys/fs/cgroup/cpu$path" "$root/sys/fs/cgroup/cpu"; do
            [ -r "$folder/cpu.cfs_quota_us" ] || continue
            echo "$(cat "$folder/cpu.cfs_quota_us") $(cat "$folder/cpu.cfs_period_us")"
          done
          ;;
      esac
    done <"$root/proc/self/cgroup"
  } 2>/dev/null | awk '$1 + 0 > 0 && $2 + 0 > 0 { q = $1 / $2; if (least == "" || q < least) least = q }
    END { if (least != "") print (least < 1 ? 1 : int(least)) }'
}

# Physical cores that may be used.
usable_cores() {
  local cores quota
  cores=$(allowed_cpus | cut -d, -f2,3 | sort -u | wc -l)
  [ "$cores" -gt 0 ] || cores=$(nproc)
  quota=$(quota_cores)
  if [ -n "$quota" ] && [ "$quota" -lt "$cores" ]; then cores=$quota; fi
  echo "$cores"
}

# Memory domains (NUMA) of the allowed cores.
memory_domains() {
  local domains
  domains=$(allowed_cpus | cut -d, -f4 | sort -u | grep -c .)
  echo $((domains > 0 ? domains : 1))
}

# NVIDIA GPUs that CUDA programs see.
visible_gpus() {
  local gpus
  if [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
    echo "$CUDA_VISIBLE_DEVICES" | tr ',' '\n' | grep -vc -e '^$' -e '^-1$'
    return 0
  fi
  gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU ')
  [ "$gpus" -gt 0 ] || gpus=$(find "${HARDWARE_ROOT:-}/proc/driver/nvidia/gpus" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)
  echo "$gpus"
}
