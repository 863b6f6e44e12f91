// tessera data build features

#include "datasets/features/feature_builder.hpp"
#include "launch/command.hpp"
#include "launch/encoders.hpp"
#include "launch/shard_options.hpp"

namespace tessera::launch {
namespace {

ExitCode run(const Arguments& arguments) {
  const std::string command = "data build features";
  if (!arguments.has("--config")) {
    throw usage_error("nothing says what computed the features", command,
                      "give --config RUN.toml, whose [codec] and [text_encoder] do.");
  }
  datasets::features::Options options;
  read_shard_options(arguments, command, options);
  options.list = arguments.text("--list");
  options.sizes = arguments.integers("--size", {256}, 1, 65536);
  options.buckets = arguments.has("--buckets");
  options.factor = arguments.number("--multiply", 1, 1e-9, 1e9);
  if (arguments.has("--posterior")) options.latent = data::LatentKind::posterior;
  const Registry registry = Registry::with_installed_plugins();
  EncoderChoice choice(arguments, registry, command, "precomputed");
  const auto codec = choice.make_codec();
  const auto text_encoder = choice.make_text_encoder();
  const auto control = choice.make_control();
  print_shards(datasets::features::build_feature_shards({*codec, *text_encoder, control.get()}, options),
               options);
  return ExitCode::done;
}

}  // namespace

Command build_features_command() {
  CommandTable table;
  table.name = "data build features";
  table.summary = "make shards from latents and caption features that another program computed";
  table.details =
      "The list has one JSON object a line: {\"latents\": [\"a_256.npy\"], \"caption\": \"a cat\", "
      "\"features\": \"a_t5.npy\"}, file names relative to the list; optional: id, length (positions that "
      "are not "
      "padding), controls (files like latents, of control maps, for --control), width and height of the "
      "original picture, group, subgroup, held_out; several captions as "
      "\"captions\": [{\"caption\": ..., \"features\": ..., \"length\": ...}, ...]. Arrays are NumPy's .npy: "
      "latents "
      "[C, h, w], features [positions, width]. Codec and text encoder are those of --config, which say the "
      "shapes and what the shards record; a run refuses others.";
  table.options = {
      {"--list", Option::Takes::one, "FILE", "The list, JSON lines.", true},
      {"--out", Option::Takes::one, "DIR", "Folder for the shards; held-out pictures go to DIR/held_out.",
       true},
      {"--size", Option::Takes::each, "N[,N]",
       "Picture sides in pixels, one for each of a line's latents (default 256)."},
      {"--buckets", Option::Takes::nothing, "", "Latents of every aspect ratio, not only squares."},
      {"--posterior", Option::Takes::nothing, "",
       "Files hold the mean and then the standard deviation, [2 C, h, w]; training draws from them anew "
       "each "
       "time."},
      {"--multiply", Option::Takes::one, "X",
       "Multiply latents by X: the autoencoder's factor, where the files hold what came out of it."},
  };
  const auto add = [&](const std::vector<Option>& options) {
    table.options.insert(table.options.end(), options.begin(), options.end());
  };
  add(shard_options());
  add(encoder_options());
  table.examples = {
      {"tessera data build features --config configs/microdit/xl-2.toml --list features.jsonl --size 256,512 "
       "--out data/microdit",
       "For MicroDiT's four stages."},
      {"tessera data build features --config configs/pixart/xl-2.toml --list sam.jsonl --posterior "
       "--multiply "
       "0.18215 --store real --out data/pixart/sam",
       "PixArt-alpha's published features, once they are .npy files."},
  };
  return {std::move(table), run, {}};
}

}  // namespace tessera::launch
