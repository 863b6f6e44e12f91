#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests (CTest labels: unit, parity, mpi, slurm, quality). Those
# labelled `nightly` are left out unless asked for.
#   run.sh [CTest arguments...]
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/install_packages.sh --tests
bash launch/build.sh --tests
[ "$(id -u)" -eq 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1
if [ $# -eq 0 ]; then set -- --label-exclude nightly; fi
exec ctest --test-dir build/host --output-on-failure --timeout 600 "$@"
