#!/usr/bin/env bash
# The whole way through the `tessera` program, and what it says and returns on every wrong turn.
#   command_test.sh TESSERA MPIEXEC SOURCE_FOLDER
set -uo pipefail
tessera=$1 mpiexec=$2 source=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0
two=("$mpiexec" -n 2 --oversubscribe "$tessera")

# expect CODE TEXT COMMAND...: the exit code, and a text that the output holds; ten seconds at most for errors.
expect() {
  local code=$1 text=$2
  shift 2
  local begin=$SECONDS got
  "$@" >output 2>&1
  got=$?
  if [ "$got" -ne "$code" ] || ! grep -qF -- "$text" output; then
    echo "FAILED (exit $got, wanted $code and '$text'): $*"
    sed 's/^/    /' output
    failures=$((failures + 1))
  elif [ "$code" -ne 0 ] && [ "$code" -ne 75 ] && [ $((SECONDS - begin)) -gt 10 ]; then
    echo "FAILED (took $((SECONDS - begin)) s to fail): $*"
    failures=$((failures + 1))
  fi
}

# Once, whatever the number of ranks.
expect_once() {
  local text=$1
  if [ "$(grep -cF -- "$text" output)" -ne 1 ]; then
    echo "FAILED: '$text' should be told once"
    sed 's/^/    /' output
    failures=$((failures + 1))
  fi
}

quick="$source/configs/demo/quickstart.toml"
cat >short.toml <<TOML
[run]
precision = "float32"
checkpoint_every = 2
sample_every = 4
sample_prompts = ["red heart", "green circle"]
sample_steps = 2
[data]
path = ["data"]
[[stage]]
name = "small"
resolution = 16
steps = 4
batch = 6
mask_ratio = 0.75
learning_rate = 1e-3
[[stage]]
name = "large"
resolution = 32
steps = 4
batch = 6
micro_batch = 2
learning_rate = 1e-3
ema_smoothing = 0.9
position_scale = 2.0
hand_over = "weights"
TOML

# from pictures to pictures
expect 0 "pictures held out" "$tessera" data build emoji --config "$quick" --subset shapes --size 16,32 --out data
expect 0 "purple heart" "$tessera" data show data/held_out --examples 100
expect 0 "contact sheet" "$tessera" data show data --verify --out contact.png
expect 0 "0.36 10, 0.5 10, 1 65, 2 10, 2.8 10" "$tessera" data build emoji --config "$quick" --subset shapes \
  --size 16,32 --compose 60 --set text_encoder.length=16 --shard-records 40 --out pairs
expect 0 "10 records, 10 %, height / width 0.5" "$tessera" data show pairs --verify --out pairs.png
expect 0 "red heart above blue square" "$tessera" data show pairs/held_out --examples 1000
parts=("$tessera" data build emoji --config "$quick" --subset shapes --size 16,32 --out parts)
expect 0 "still missing: 1" "${parts[@]}" --part 2/2
expect 0 "the data set is complete: 2 shards in parts" "${parts[@]}" --part 1/2
expect 0 "records       23" "$tessera" data show parts --verify --out parts.png
expect 0 "captions take all 8 positions" "$tessera" data build emoji --config "$quick" --subset shapes \
  --compose 60 --compose-only --out short
expect 0 "The run is complete" "${two[@]}" train "$quick" short.toml --out run
expect 0 "The run is complete" "${two[@]}" train "$quick" short.toml --out run --resume
[ -s run/samples/step-00000008.png ] || { echo "FAILED: no sample grid"; failures=$((failures + 1)); }
expect 0 "stage          1 'large'" "$tessera" checkpoint show run/checkpoints/step-00000008.h5
expect 0 "intact" "$tessera" checkpoint verify run/checkpoints/step-00000008.h5
expect 0 "4 pictures: two.png" "${two[@]}" sample --checkpoint run --prompt "red heart" "a dog" --per-prompt 2 \
  --steps 2 --out two.png
expect 0 "4 pictures: one.png" "$tessera" sample --checkpoint run/checkpoints/step-00000008.h5 \
  --prompt "red heart" "a dog" --per-prompt 2 --steps 2 --batch 1 --out one.png
expect 0 "4 pictures: ddim.png" "${two[@]}" sample --checkpoint run --prompt "red heart" "a dog" --per-prompt 2 \
  --sampler ddim --set sampler.eta=0.5 --steps 2 --out ddim.png
cmp -s ddim.png two.png && { echo "FAILED: another sampler drew the same"; failures=$((failures + 1)); }
expect 0 "1 pictures: wide.png" "$tessera" sample --checkpoint run --prompt "red heart" --aspect 2:1 --steps 2 \
  --out wide.png --singles wide
expect 0 "model          backbone dit" "$tessera" checkpoint show run/checkpoints/step-00000008.h5
expect 0 "Starting from run/checkpoints/step-00000008.h5 (digest " "${two[@]}" train "$quick" short.toml --out tuned \
  --set start.checkpoint=run/checkpoints/step-00000008.h5 --set start.weights=average

# an adapter: trained, taken out, drawn with, merged; drawing with it, from the run and merged is the same
expect 0 "frozen ones" "${two[@]}" train "$quick" short.toml --out lora --set run.checkpoint_every=0 \
  --set start.checkpoint=run/checkpoints/step-00000008.h5 --set start.weights=average \
  --set 'model.adapter={name="lora",rank=1,alpha=8.0}'
expect 0 "trained on run/checkpoints/step-00000008.h5" "$tessera" checkpoint export-adapter lora --out out/lora.h5
expect 0 "adapter lora" "$tessera" checkpoint show out/lora.h5
expect 0 "average weights" "$tessera" checkpoint show out/lora.h5
expect 0 "intact" "$tessera" checkpoint verify out/lora.h5
expect 0 "checkpoint merged.h5" "$tessera" checkpoint merge --adapter out/lora.h5 --out merged.h5
model=$(stat -c %s merged.h5) adapter=$(stat -c %s out/lora.h5)
[ $((adapter * 50)) -lt "$model" ] || { echo "FAILED: an adapter of $adapter bytes for $model"; failures=$((failures + 1)); }
for from in "--adapter out/lora.h5" "--checkpoint lora" "--checkpoint merged.h5"; do
  expect 0 "2 pictures: adapted.png" "${two[@]}" sample $from --prompt "red heart" "a dog" --steps 2 --out adapted.png
  mv adapted.png "adapted-$(md5sum adapted.png | cut -c 1-32).png"
done
[ "$(ls adapted-*.png | wc -l)" -eq 1 ] || { echo "FAILED: an adapter draws otherwise when merged"; failures=$((failures + 1)); }
expect 0 "trained on other weights" "$tessera" sample --adapter out/lora.h5 --checkpoint run --weights trained \
  --prompt "red heart" --steps 1 --out other.png

# a ControlNet: maps beside the pictures, trained, taken out, drawn with
expect 0 "pictures held out" "$tessera" data build emoji --config "$quick" --subset shapes --size 16,32 \
  --control canny --set control.high=150 --out edges
expect 0 "control maps  canny low=100 high=150" "$tessera" data show edges --verify --maps --out maps.png
control=(--set start.checkpoint=run/checkpoints/step-00000008.h5 --set start.weights=average
  --set 'model.adapter={name="controlnet"}' --set 'control={name="canny",high=150}' --set 'data.path=["edges"]')
expect 0 "frozen ones" "${two[@]}" train "$quick" short.toml --out controlnet --set run.checkpoint_every=0 "${control[@]}" \
  --set 'run.sample_controls=["one.png"]'
expect 0 "trained on run/checkpoints/step-00000008.h5" "$tessera" checkpoint export-adapter controlnet --out controlnet.h5
for from in "--adapter controlnet.h5" "--checkpoint controlnet"; do
  expect 0 "2 pictures: follow.png" "${two[@]}" sample $from --control contact.png one.png --prompt "red heart" "a dog" \
    --steps 2 --out follow.png
  mv follow.png "follow-$(md5sum follow.png | cut -c 1-32).png"
done
[ "$(ls follow-*.png | wc -l)" -eq 1 ] || { echo "FAILED: a ControlNet draws otherwise from its own file"; failures=$((failures + 1)); }
expect 0 "draws as it did before" "$tessera" sample --adapter controlnet.h5 --prompt "red heart" --steps 2 --out free.png
expect 0 "1 pictures: base.png" "$tessera" sample --checkpoint run --prompt "red heart" --steps 2 --out base.png
cmp free.png base.png || { echo "FAILED: a ControlNet without control draws otherwise than its base"; failures=$((failures + 1)); }
expect 0 "1 pictures: map.png" "$tessera" sample --adapter controlnet.h5 --control maps.png --control-map \
  --prompt "red heart" --steps 2 --out map.png
for file in maps.png map.png follow-*.png contact.png one.png two.png ddim.png wide.png adapted-*.png; do
  [ "$(head -c 4 "$file" | tail -c 3)" = PNG ] || { echo "FAILED: $file is no PNG"; failures=$((failures + 1)); }
done
expect 75 "repeat the command with --resume" "${two[@]}" train "$quick" short.toml --out limited \
  --set run.max_minutes=0.005 --set stage.0.steps=100000

# concepts in captions, and denser captions from a program
expect 0 "valid distinct nouns (VN)" "$tessera" data stats data data/held_out --top 3 --json concepts.json
grep -q '"name": "data/held_out"' concepts.json || { echo "FAILED: no figures in JSON"; failures=$((failures + 1)); }
mkdir pictures
for i in 1 2 3 4 5 6; do cp one.png "pictures/$i.png"; done
printf 'image,caption\n' >captions.csv
for i in 1 2 3 4 5 6; do printf '%s.png,"a ""red"" dog, %s"\n' $i $i; done >>captions.csv
cat >captioner.sh <<'SH'
#!/bin/sh
echo "$1" >>calls
[ "$1" = pictures/6.png ] && [ ! -e mended ] && { echo "cannot see it" >&2; exit 3; }
[ "$1" = pictures/3.png ] && [ ! -e mended ] && exec sleep 60
echo "A cat and a bird beside $2"
SH
chmod +x captioner.sh
caption=("$tessera" data caption --images pictures --captions captions.csv --out dense.jsonl
  --command "./captioner.sh {image} {caption}")
"${caption[@]}" >output 2>&1 &
job=$!
while kill -0 $job 2>/dev/null && [ "$(cat dense.jsonl 2>/dev/null | wc -l)" -lt 2 ]; do sleep 0.05; done
kill -9 $job
wait $job 2>/dev/null
printf '{"image":"3.png","capt' >>dense.jsonl
expect 75 "unfinished record" "${caption[@]}" --jobs 3 --timeout 3
expect_once "exit code 3: cannot see it"
expect_once "no answer within 3 s"
touch mended
expect 0 "2 captioned, 4 were before, of 6 rows" "${caption[@]}" --jobs 3
[ "$(grep -c pictures/1.png calls)" -eq 1 ] || { echo "FAILED: a finished picture was run again"; failures=$((failures + 1)); }
expect 0 "nouns per image (average)" "$tessera" data stats dense.jsonl --caption-field caption,dense_caption --top 2
grep -q '^nouns per image (average) .* 1.00 .* 3.00' output || { echo "FAILED: wrong figures"; cat output; failures=$((failures + 1)); }
expect 0 "6 pictures" "$tessera" data build folder --images pictures --captions dense.jsonl --out both --size 16 \
  --caption-field caption,dense_caption
expect 0 'a "red" dog, 1 (4) | A cat and a bird beside a "red" dog, 1 (8)' "$tessera" data show both
expect 0 "both caption 2" "$tessera" data stats both --caption-number 1,2

# what needs no data
expect 0 "200,692,752" "$tessera" plan "$source/configs/microdit/tiny-2.toml"
expect 0 "1,165,442,320" "$tessera" plan "$source/configs/microdit/xl-2.toml"
for config in "$source"/configs/*/*.toml; do
  case $config in */model-*) continue ;; esac  # parts that runs include
  expect 0 "Parameters" "$tessera" plan "$config" --node 8xA100 --nodes 2 --dense-dispatch
done
# With a transport that does not exist MPI cannot start, so these do not start it.
without_mpi=(env OMPI_MCA_pml=none "$tessera")
expect 0 "Parameters" "${without_mpi[@]}" plan "$quick"
expect 0 "edm-heun" "${without_mpi[@]}" plugins
expect 0 "usage" "${without_mpi[@]}" train --help
expect 0 "shard" "${without_mpi[@]}" data show data
expect 0 "stage" "${without_mpi[@]}" checkpoint show run/checkpoints/step-00000008.h5
expect 0 "experts_every" "$tessera" plugins dit
expect 0 "exit codes" "$tessera" --help
expect 0 "data show" "$tessera" data --help
for command in train sample plan "data build emoji" "data build folder" "data show" "data stats" \
  "data caption" "checkpoint show" \
  "checkpoint verify" plugins; do
  # shellcheck disable=SC2086
  expect 0 "examples:" "$tessera" $command --help
done

# usage: 2
expect 2 "Did you mean 'train'" "$tessera" trian
expect 2 "Did you mean '--out'" "$tessera" data build emoji --uot x
expect 2 "Add --buckets" "$tessera" data build emoji --unit 8 --out x
expect 2 "Give --config RUN.toml" "$tessera" data build emoji --buckets --out x
expect 2 "Add --compose N" "$tessera" data build emoji --compose-only --out x
expect 2 "--part 3/2 is not I/N" "$tessera" data build emoji --part 3/2 --out x
expect 2 "CONFIG is missing" "${two[@]}" train
expect_once "CONFIG is missing"
expect 2 "2x1" "$tessera" sample --checkpoint run --prompt x --aspect 2x1
expect 2 "--checkpoint FILE is missing" "$tessera" sample --prompt x
expect 2 "give --adapter FILE" "$tessera" sample --prompt x
expect 2 "does not set the sampler" "$tessera" sample --checkpoint run --set run.seed=1

expect 2 "Did you mean {image}" "${caption[@]}" --command "./captioner.sh {imagge}"

expect 2 "Add --control FILE" "$tessera" sample --checkpoint run --prompt x --control-map

# Started as two by a launcher that MPI knows nothing of: told once, by the first.
split=(env -u OMPI_COMM_WORLD_SIZE SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=2)
expect 1 "one of 2 that srun started" "${split[@]}" SLURM_PROCID=0 "$tessera" train "$quick" --out x
if "${split[@]}" SLURM_PROCID=1 "$tessera" train "$quick" --out x >output 2>&1 || [ $? -ne 1 ] || [ -s output ]; then
  echo "FAILED: the second process should fail in silence"
  cat output
  failures=$((failures + 1))
fi

# errors: 1, one paragraph, on one rank or on all
expect 1 "Did you mean 'width'" "${two[@]}" train "$quick" --set model.backbone.widht=3 --out x
expect_once "Did you mean 'width'"
expect 1 "nowhere" "${two[@]}" train "$quick" --set data.path=nowhere --out x
expect_once "nowhere"
expect 1 "already holds a run" "${two[@]}" train "$quick" short.toml --out run
expect 1 "width=32" "${two[@]}" train "$quick" short.toml --set text_encoder.width=32 --out x
expect 1 "no backbone component 'ditt'" "$tessera" train "$quick" short.toml --set model.backbone.name=ditt --out x
expect 1 "smaller than the number of ranks" "${two[@]}" train "$quick" short.toml --set stage.0.batch=1 --out y
expect 1 "none.h5" "${two[@]}" sample --checkpoint none.h5 --prompt x
expect_once "none.h5"
expect 1 "Did you mean 'ddim'" "${two[@]}" sample --checkpoint run --sampler dimm
expect_once "Did you mean 'ddim'"
expect 1 "Did you mean 'eta'" "$tessera" sample --checkpoint run --sampler ddim --set sampler.etta=1
expect 1 "is an adapter, not a checkpoint" "${two[@]}" sample --checkpoint out/lora.h5 --prompt x
expect 1 "is a checkpoint, not an adapter" "$tessera" checkpoint merge --adapter merged.h5 --out x.h5
expect 1 "has no adapter" "$tessera" checkpoint export-adapter run --out x.h5
expect 1 "[start] checkpoint" "${two[@]}" train "$quick" short.toml --out z --set 'model.adapter={name="lora"}'
expect 1 "has no control maps" "${two[@]}" train "$quick" short.toml --out z "${control[@]}" --set 'data.path=["data"]'
expect 1 "canny low=100 high=200" "${two[@]}" train "$quick" short.toml --out z "${control[@]}" --set control.high=200
expect 1 "no adapter that reads control maps" "${two[@]}" sample --checkpoint run --prompt x --control one.png
expect 1 "Keep it beside the model" "$tessera" checkpoint merge --adapter controlnet.h5 --out x.h5
expect 1 "already holds the shard" "$tessera" data build emoji --config "$quick" --subset shapes --out data
expect 1 "no multiple of the unit" "$tessera" data build emoji --subset shapes --size 30 --buckets --unit 4 --out x
expect 1 "cannot be composed" "$tessera" data build emoji --config "$quick" --subset shapes --compose 100000 --out x
head -c 100000 run/checkpoints/step-00000008.h5 >cut.h5
expect 1 "cut.h5" "$tessera" checkpoint verify cut.h5
expect 1 "cut.h5" "${two[@]}" sample --checkpoint cut.h5 --prompt x
head -c 3000 data/shard-00000-of-00001.h5 >cut-shard.h5
expect 1 "cut-shard.h5" "$tessera" data show cut-shard.h5
expect 1 "apt-get install wordnet-base" "$tessera" data stats captions.csv --wordnet nowhere
expect 1 "no column 'dense'" "$tessera" data stats captions.csv --caption-field dense
expect 1 "no program of this name" "${caption[@]}" --command "no-such-program {image}"
expect 1 "captions.csv:1" "${caption[@]}" --out captions.csv --captions dense.jsonl

[ "$failures" -eq 0 ] && echo "all as expected"
exit "$failures"
