#!/usr/bin/env bash
# Trains the adapters of configs/adapters on the model that trained.sh left, and measures what they draw.
#   trained_adapters.sh ADAPTER_CHECK TESSERA BASE_RUN WORK_FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
check=$1 tessera=$2 work=$4
base=$(ls "$3"/checkpoints/step-*.h5 | tail -n 1)
rm -rf "$work"
mkdir -p "$work"

ranks=$(nproc)
[ "$ranks" -gt 8 ] && ranks=8
[ "$(id -u)" -eq 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1
mpi=(mpirun -q -n "$ranks" --oversubscribe --bind-to none)
configs=configs/adapters

# train NAME DATA [SETTINGS...]
train() {
  local name=$1 data=$2
  shift 2
  "${mpi[@]}" "$tessera" train "$configs/$name.toml" --out "$work/$name" --set start.checkpoint="$base" \
    --set "data.path=[\"$work/$data\"]" "$@"
}

"$tessera" data build emoji --config $configs/controlnet.toml --subset all --out "$work/edges"
train controlnet edges
"${mpi[@]}" "$check" control --checkpoint "$work/controlnet" --data "$work/edges/held_out" --gate --out "$work/control.png"

"$tessera" data build folder --config $configs/dreambooth.toml --images $configs/zorp --out "$work/zorp"
"${mpi[@]}" "$tessera" sample --checkpoint "$base" --prompt "cat face" --per-prompt 48 --singles "$work/cats/pictures" \
  --out "$work/cats.png"
"$tessera" data build folder --config $configs/dreambooth.toml --images "$work/cats/pictures" --out "$work/cats/shards"
subject=(--before "$base" --subject "$work/zorp" --prompt "zorp cat face" --class-prompt "cat face" --gate)
train dreambooth zorp --set "data.mix.0.path=[\"$work/cats/shards\"]"
"${mpi[@]}" "$check" subject "${subject[@]}" --after "$work/dreambooth" --out "$work/dreambooth.png"
train lora zorp --set "data.mix.0.path=[\"$work/cats/shards\"]"
"$tessera" checkpoint export-adapter "$work/lora" --out "$work/lora.h5"
"${mpi[@]}" "$check" subject "${subject[@]}" --adapter "$work/lora.h5" --out "$work/lora.png"
