#!/usr/bin/env bash
# A disk that is full, and one that is mounted read-only: a run says so, keeps its last checkpoint, and ends in the
# same bits once there is room. Needs the right to mount; exits with 77 without.
#   disk_test.sh MPIEXEC mpi_faults RANKS
set -u
if [ -z "${DISK_TEST_INSIDE:-}" ]; then
  unshare -m true 2>/dev/null || { echo "skipped: may not mount"; exit 77; }
  DISK_TEST_INSIDE=1 exec unshare -m "$0" "$@"
fi
mpiexec=$1 program=$2 ranks=$3
folder=$(mktemp -d)
trap 'umount -l "$folder/disk" 2>/dev/null; rm -rf "$folder"' EXIT
mkdir "$folder/disk"
mount -t tmpfs -o size=256m tmpfs "$folder/disk" 2>/dev/null || { echo "skipped: may not mount"; exit 77; }
export TRAIN_PROBE=$folder/disk
probe() {
  TRAIN_PROBE_RUN="$1" "$mpiexec" -n "$ranks" --oversubscribe "$program" \
    --gtest_also_run_disabled_tests --gtest_filter="Probe.DISABLED_$2" >"$folder/log" 2>&1
}
fail() { cat "$folder/log"; ls -l "$TRAIN_PROBE/run/checkpoints"; echo "$1"; exit 1; }
said() { grep -q -- "$1" "$folder/log" || fail "the error should say: $1"; }

probe whole Run || fail "the undisturbed run failed"
newest=$(ls "$TRAIN_PROBE/whole/checkpoints" | tail -n 1)
bytes=$(stat -c %s "$TRAIN_PROBE/whole/checkpoints/$newest")
used=$(df --output=used -B1 "$TRAIN_PROBE" | tail -n 1)
# Room for the first checkpoint, but not for a second beside it.
mount -o "remount,size=$((used + bytes * 2))" "$TRAIN_PROBE"
probe run Run && fail "the disk was not full"
said "left\." && said "df -h"
[ "$(ls "$TRAIN_PROBE/run/checkpoints")" = step-00000004.h5 ] || fail "not the one checkpoint that fitted"
TRAIN_PROBE_RUN=run "$program" --gtest_also_run_disabled_tests --gtest_filter=Probe.DISABLED_Intact >"$folder/log" ||
  fail "the checkpoint that fitted is damaged"

mount -o remount,size=256m "$TRAIN_PROBE"
mount --bind "$TRAIN_PROBE/run/checkpoints" "$TRAIN_PROBE/run/checkpoints"
mount -o remount,ro,bind "$TRAIN_PROBE/run/checkpoints"
probe run Run && fail "the folder was not read-only"
said "Read-only file system" && said "$TRAIN_PROBE/run/checkpoints" && said "mounted for writing"
umount "$TRAIN_PROBE/run/checkpoints"

probe run Run || fail "the run did not go on"
TRAIN_PROBE_RUN=run "$program" --gtest_also_run_disabled_tests --gtest_filter=Probe.DISABLED_Compare >"$folder/log" ||
  fail "other bits"
echo "the same bits after a full disk and a read-only one"
