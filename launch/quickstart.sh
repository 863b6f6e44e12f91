#!/usr/bin/env bash
# From a fresh Debian machine to pictures: installs packages, builds, makes the emoji data set, trains a small
# MicroDiT through its four stages on all cores, and draws grids of pictures with their prompts.
# Run again, it does only what is missing; a run that was interrupted goes on from its last checkpoint.
#   quickstart.sh [RUN_FOLDER]        default runs/quickstart
set -euo pipefail
cd "$(dirname "$0")/.."
run=${1:-runs/quickstart}
config=configs/demo/quickstart.toml
data=data/quickstart
tessera=build/host/bin/tessera

start=$SECONDS
say() { printf '[%2d:%02d] %s\n' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$*"; }

say "Packages"
bash launch/install_packages.sh
say "Build"
bash launch/build.sh

if [ ! -f "$data/complete" ]; then
  say "Data set: emoji, into $data"
  rm -rf "$data"
  "$tessera" data build emoji --config "$config" --subset quickstart --repeat shapes=3 --size 16,32 --out "$data"
  touch "$data/complete"
fi

on_ranks=(bash launch/run.sh) # as many as suit the machine
say "Training: four stages, log in $run/log.txt"
"${on_ranks[@]}" train "$config" --out "$run" --resume

checkpoint=$(ls "$run"/checkpoints/step-*.h5 | tail -n 1)
draw() {
  [ -f "$run/$2" ] && return 0
  "${on_ranks[@]}" sample --checkpoint "$checkpoint" --prompts "configs/demo/$1" --per-prompt 4 --seed 1 \
    --out "$run/$2"
}
say "Pictures"
draw prompts-held-out.txt held-out.png
draw prompts-trained.txt trained.png
say "Done"
cat <<TXT

Pictures of captions the model never saw:   $run/held-out.png
Pictures of captions it was trained on:     $run/trained.png

Next:
  $tessera sample --checkpoint $checkpoint --prompt "purple square" "green heart" --per-prompt 8 --out mine.png
  $tessera plan configs/microdit/xl-2.toml
  $tessera data build emoji --config configs/demo/emoji-long.toml --size 32,64 --out data/emoji
  launch/run.sh train configs/demo/emoji-long.toml --out runs/emoji-long --resume
TXT
