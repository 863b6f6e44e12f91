#!/usr/bin/env bash
# Trains the PixArt-alpha demo's three stages from nothing and holds its samples to the project's aims: single
# things, and pairs that were never trained together.
#   trained_pixart.sh TESSERA QUALITY_CHECK FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
tessera=$1
check=$2
folder=$3
config=configs/demo/pixart.toml
rm -rf "$folder"
[ "$(id -u)" -eq 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1
ranks=$(nproc)
[ "$ranks" -gt 8 ] && ranks=8
mpi=(mpirun -q -n "$ranks" --oversubscribe --bind-to none)

"$tessera" data build emoji --out "$folder/data" --subset shapes --repeat shapes=40 --compose 5400 --size 16,32 \
  --config "$config"
"${mpi[@]}" "$tessera" train "$config" --set "data.path=[\"$folder/data\"]" --out "$folder/run"
status=0
"${mpi[@]}" "$check" --checkpoint "$folder/run" --gate --out "$folder/single.png" || status=1
"${mpi[@]}" "$check" --checkpoint "$folder/run" --pairs --gate --out "$folder/pairs.png" || status=1
exit $status
