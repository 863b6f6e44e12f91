// tessera data build emoji, tessera data build folder

#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "data/aspect_buckets.hpp"
#include "datasets/emoji/composed_source.hpp"
#include "datasets/emoji/emoji_source.hpp"
#include "datasets/emoji/lists.hpp"
#include "datasets/folder/folder_source.hpp"
#include "datasets/shard_builder.hpp"
#include "io/file.hpp"
#include "launch/command.hpp"
#include "launch/encoders.hpp"
#include "launch/shard_options.hpp"

namespace tessera::launch {
namespace {

using datasets::BuildOptions;

/// The options that both sources share, after their own.
void add_build_options(std::vector<Option>& options, const std::string& size_help) {
  const std::vector<Option> shared{
      {"--out", Option::Takes::one, "DIR", "Folder for the shards; held-out pictures go to DIR/held_out.",
       true},
      {"--size", Option::Takes::each, "N[,N]", size_help},
      {"--buckets", Option::Takes::nothing, "",
       "Keep aspect ratios: each picture goes to the nearest of PixArt's 40 buckets, scaled to the size, and "
       "only "
       "what its shape does not cover is cut off. Else all are cut to squares."},
      {"--unit", Option::Takes::one, "PIXELS",
       "Sides of buckets are multiples of this (default: what one patch of the model of --config covers, the "
       "codec's downsampling times the patch, so that training and sampling have the same sizes)."},
      {"--max-ratio", Option::Takes::one, "X",
       "Leave out pictures whose long side is more than X times the short one; 0 for none (default 4 with "
       "--buckets, else 0)."},
      {"--alternatives", Option::Takes::nothing, "",
       "Keep alternative captions too; training draws one of a picture's captions each time."},
  };
  options.insert(options.end(), shared.begin(), shared.end());
  const std::vector<Option> shards = shard_options();
  options.insert(options.end(), shards.begin(), shards.end());
  const std::vector<Option> encoders = encoder_options();
  options.insert(options.end(), encoders.begin(), encoders.end());
}

/// @param buckets  whether the command works in aspect buckets.
BuildOptions build_options(const Arguments& arguments, const std::string& command, bool buckets) {
  BuildOptions options;
  options.max_ratio = arguments.number("--max-ratio", buckets ? 4 : 0, 0, 1e6);
  if (arguments.has("--unit") && !buckets) {
    throw usage_error("--unit is about aspect buckets", command, "add --buckets.");
  }
  read_shard_options(arguments, command, options);
  options.sizes = arguments.integers("--size", {32}, 1, 65536);
  options.alternatives = arguments.has("--alternatives");
  return options;
}

/// "shapes=4" -> {"shapes", 4}.
std::map<std::string, std::size_t> repeats_of(const Arguments& arguments, const std::string& command) {
  std::map<std::string, std::size_t> repeats;
  for (const std::string& text : arguments.texts("--repeat")) {
    const std::size_t equals = text.find('=');
    std::size_t used = 0;
    unsigned long times = 0;
    try {
      if (equals != std::string::npos) times = std::stoul(text.substr(equals + 1), &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used == 0 || equals + 1 + used != text.size() || times > 10000) {
      throw usage_error("--repeat " + text + " is no NAME=N with N from 0 to 10000", command);
    }
    repeats[text.substr(0, equals)] = times;
  }
  return repeats;
}

void print_buckets(const datasets::BuildReport& report) {
  std::cout << "pictures by height / width:";
  const char* separator = " ";
  for (const auto& [ratio, pictures] : report.buckets) {
    std::cout << separator << data::ratio_text(ratio) << " " << pictures;
    separator = ", ";
  }
  std::cout << "\n";
}

/// What one patch of the model covers, from the model itself unless --unit says it.
std::int64_t bucket_unit(const Arguments& arguments, const std::string& command,
                         const std::optional<std::int64_t>& token_side) {
  if (!arguments.has("--unit") && !token_side) {
    throw usage_error(
        "nothing says what pixels one patch of the model covers, of which the sides of aspect "
        "buckets are multiples",
        command, "give --config RUN.toml with a table [model.backbone], or --unit PIXELS.");
  }
  return arguments.integer("--unit", token_side.value_or(1), 1, 65536);
}

ExitCode build(const Arguments& arguments, const std::string& command, const datasets::Source& source,
               BuildOptions options, bool buckets) {
  const Registry registry = Registry::with_installed_plugins();
  EncoderChoice choice(arguments, registry, command);
  const auto codec = choice.make_codec();
  const auto text_encoder = choice.make_text_encoder();
  const auto control = choice.make_control();
  if (buckets) {
    options.bucket_unit = bucket_unit(arguments, command, choice.token_side(*codec, *text_encoder));
  }
  const datasets::BuildReport report =
      datasets::build_shards(source, {*codec, *text_encoder, control.get()}, options);
  if (buckets && !report.was_complete) print_buckets(report);
  for (const datasets::LeftOut& left_out : source.left_out()) {
    std::cout << left_out.count << " left out: " << left_out.reason << "\n";
  }
  if (report.too_long > 0) {
    std::cout << report.too_long << " left out: long side more than " << options.max_ratio
              << " times the short one (--max-ratio)\n";
  }
  if (report.full_captions > 0) {
    std::cout << report.full_captions << " captions take all " << text_encoder->length()
              << " positions of the text encoder: longer ones are cut there. Raise its length if words are "
                 "lost.\n";
  }
  print_shards(report, options);
  return ExitCode::done;
}

ExitCode build_emoji(const Arguments& arguments) {
  const std::string command = "data build emoji";
  datasets::emoji::Options wanted;
  wanted.subset = arguments.text("--subset", "all");
  wanted.skin_tones = arguments.has("--skin-tones");
  wanted.alternatives = arguments.has("--alternatives");
  if (arguments.has("--font")) wanted.font = arguments.text("--font");
  const bool composing = arguments.has("--compose");
  const bool buckets = composing || arguments.has("--buckets");
  wanted.square = buckets;
  for (const char* option : {"--compose-only", "--compose-seed"}) {
    if (arguments.has(option) && !composing) {
      throw usage_error(std::string(option) + " is about composed pictures", command, "add --compose N.");
    }
  }
  const datasets::emoji::EmojiSource emoji(wanted);
  std::optional<datasets::emoji::ComposedSource> composed;
  if (composing) {
    composed.emplace(emoji,
                     datasets::emoji::CompositionOptions{
                         .count = static_cast<std::size_t>(arguments.integer("--compose", 0, 1, 100'000'000)),
                         .seed = static_cast<std::uint64_t>(arguments.integer("--compose-seed", 0, 0)),
                         .singles = !arguments.has("--compose-only")});
  }
  const datasets::Source& source = composed ? static_cast<const datasets::Source&>(*composed) : emoji;

  BuildOptions options = build_options(arguments, command, buckets);
  // A subset is a list of captions and subgroups; its pictures are found by building its source once more.
  std::map<std::string, std::size_t> times;
  for (const auto& [subset, n] : repeats_of(arguments, command)) {
    datasets::emoji::Options part = wanted;
    part.subset = subset;
    part.alternatives = false;
    const datasets::emoji::EmojiSource members(part);
    for (std::size_t i = 0; i < members.size(); ++i) times[members.picture(i).id] = n;
  }
  options.repeats = [times](const datasets::Picture& picture) {
    const auto found = times.find(picture.id);
    return found == times.end() ? std::size_t{1} : found->second;
  };
  return build(arguments, command, source, options, buckets);
}

ExitCode build_folder(const Arguments& arguments) {
  const std::string command = "data build folder";
  datasets::folder::Options wanted;
  wanted.folder = arguments.text("--images");
  wanted.captions = arguments.text("--captions");
  wanted.min_side = static_cast<int>(arguments.integer("--min-side", 0, 0, 65536));
  wanted.skip_bad = arguments.has("--skip-bad");
  wanted.caption_fields = arguments.list("--caption-field", {"caption"});
  wanted.alternatives = arguments.has("--alternatives");
  const datasets::folder::FolderSource source(wanted);

  const bool buckets = arguments.has("--buckets");
  BuildOptions options = build_options(arguments, command, buckets);
  options.alternatives = options.alternatives || wanted.caption_fields.size() > 1;
  const std::map<std::string, std::size_t> times = repeats_of(arguments, command);
  std::set<std::string> groups;
  for (std::size_t i = 0; i < source.size(); ++i) groups.insert(source.picture(i).group);
  for (const auto& [group, n] : times) {
    if (!groups.contains(group)) {
      throw Error("no picture is of the group '" + group + "' that --repeat names", wanted.folder.string(),
                  "groups come from the captions file's column 'group'");
    }
  }
  options.repeats = [times](const datasets::Picture& picture) {
    const auto found = times.find(picture.group);
    return found == times.end() ? std::size_t{1} : found->second;
  };
  return build(arguments, command, source, options, buckets);
}

std::string subsets_text() {
  std::string text = "Pictures to take: all";
  for (const std::string& name : datasets::emoji::subset_names()) text += ", " + name;
  return text + " (default all).";
}

}  // namespace

Command build_emoji_command() {
  CommandTable table;
  table.name = "data build emoji";
  table.summary = "make shards from Debian's emoji and their names";
  table.details =
      "Pictures of the font Noto Color Emoji, captioned with their Unicode names; needs the Debian packages "
      "fonts-noto-color-emoji, unicode-data and unicode-cldr-core. A fixed list of captions is held out. "
      "With "
      "--compose there are also pictures of two or three emoji, \"red heart and green apple\" from left to "
      "right "
      "or \"red heart above green apple\" from top to bottom, wide, tall and square; a fixed list of pairs "
      "is held "
      "out. Their captions have up to eleven words and more: give the text encoder the length for them.";
  table.options = {
      {"--subset", Option::Takes::one, "NAME", subsets_text()},
      {"--repeat", Option::Takes::each, "SUBSET=N",
       "Write the pictures of a subset N times: they are drawn N times as often. Repeatable."},
      {"--skin-tones", Option::Takes::nothing, "", "Also the variants with skin tones."},
      {"--compose", Option::Takes::one, "N",
       "Also N pictures composed of two or three emoji of the subset; implies --buckets."},
      {"--compose-only", Option::Takes::nothing, "", "Leave the single emoji out."},
      {"--compose-seed", Option::Takes::one, "N", "Chooses the compositions (default 0)."},
      {"--font", Option::Takes::one, "FILE", "Another font with colour bitmaps."},
  };
  add_build_options(table.options, "Picture sides, kept side by side (default 32).");
  table.examples = {
      {"tessera data build emoji --out data/quickstart --subset quickstart --repeat shapes=4 --size 16,32",
       "A small set at two resolutions in which coloured shapes come up four times as often."},
      {"tessera data build emoji --out data/quickstart --config configs/demo/quickstart.toml",
       "Encoded as that run wants it."},
      {"tessera data build emoji --out data/pairs --subset quickstart --compose 6000 --size 16,32 --config "
       "configs/demo/pixart.toml",
       "Single emoji and six thousand compositions in aspect buckets."},
  };
  return {std::move(table), build_emoji, {}};
}

Command build_folder_command() {
  CommandTable table;
  table.name = "data build folder";
  table.summary = "make shards from a folder of pictures with a captions file";
  table.details =
      "Pictures are PNG or JPEG. The captions file is CSV with the columns image and caption, or JSON lines "
      "{\"image\": ..., \"caption\": ...}; optional: control (the file of a control map that another program "
      "made, for --control), group, subgroup, held_out, in JSON "
      "alternative_captions. "
      "A picture is resized (bicubic, antialiased) so that it covers the square of the size, or with "
      "--buckets the "
      "bucket nearest to its shape; then the middle is cut out.";
  table.options = {
      {"--images", Option::Takes::one, "DIR", "The folder that image names are relative to.", true},
      {"--captions", Option::Takes::one, "FILE",
       "The captions file (default captions.csv, captions.jsonl or metadata.jsonl in the folder)."},
      {"--caption-field", Option::Takes::each, "NAME[,NAME]",
       "Columns or keys to take captions from (default caption). With several each picture gets one caption "
       "of each, and training draws one of them each time, all equally likely."},
      {"--min-side", Option::Takes::one, "PIXELS", "Leave out pictures with a shorter side."},
      {"--skip-bad", Option::Takes::nothing, "", "Leave out and count damaged pictures instead of stopping."},
      {"--repeat", Option::Takes::each, "GROUP=N", "Write the pictures of a group N times. Repeatable."},
  };
  add_build_options(table.options, "Picture sides, kept side by side (default 32).");
  table.examples = {
      {"tessera data build folder --images photos --captions photos.csv --out data/photos --size 64",
       "Your own pictures at 64 pixels."},
      {"tessera data build folder --images photos --captions dense.jsonl --caption-field "
       "caption,dense_caption --out data/photos",
       "Original captions and those that 'tessera data caption' made, half and half."},
      {"tessera data build folder --images photos --out data/photos --size 16,32 --buckets --config "
       "configs/demo/pixart.toml",
       "In aspect buckets of the sizes that this run's model draws."},
  };
  return {std::move(table), build_folder, {}};
}

}  // namespace tessera::launch
