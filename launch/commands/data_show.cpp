// tessera data show

#include <algorithm>
#include <iostream>

#include "data/dataset.hpp"
#include "data/show.hpp"
#include "io/picture_grid.hpp"
#include "io/png.hpp"
#include "launch/command.hpp"
#include "launch/encoders.hpp"

namespace tessera::launch {
namespace {

/// Record i of the sequence of all buckets' records, one bucket after another over all shards.
std::pair<std::size_t, std::uint64_t> place_of(const data::Dataset& dataset, std::uint64_t i) {
  for (const data::DatasetBucket& bucket : dataset.buckets()) {
    for (std::size_t shard = 0; shard < dataset.shards(); ++shard) {
      if (i < bucket.shard_records[shard]) return {shard, bucket.shard_first[shard] + i};
      i -= bucket.shard_records[shard];
    }
  }
  throw Error("there is no such record in the data set", "contact sheet");
}

/// Pictures spread over the data set, wide ones first, each in the shape of its bucket.
/// @param maps  the control maps instead of the pictures
io::Image contact_sheet(const data::Dataset& dataset, const Codec& codec, std::size_t resolution,
                        std::uint64_t count, bool maps) {
  std::vector<io::Tile> tiles;
  count = std::min<std::uint64_t>(count, dataset.records());
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto [shard_index, record] = place_of(dataset, i * dataset.records() / count);
    const std::shared_ptr<const data::ShardReader> shard = dataset.reader(shard_index);
    const data::RecordInfo info = shard->info(record);
    const data::Grid grid = shard->layout().buckets[info.bucket].grids[resolution];
    std::vector<float> latent(shard->header().latent_values(grid));
    maps ? shard->read_control(record, resolution, latent.data())
         : shard->read_latent(record, resolution, latent.data());
    if (shard->header().latent == data::LatentKind::posterior) latent.resize(latent.size() / 2);
    const std::string caption =
        info.captions > 0 ? std::string(shard->caption_text(record, 0)) : std::string(info.id);
    tiles.push_back({codec.decode(latent, grid.height, grid.width), caption});
  }
  return io::picture_grid(tiles);
}

void draw_contact_sheet(const Arguments& arguments, const data::Dataset& dataset) {
  const data::ShardHeader& header = dataset.header();
  const std::string& path = dataset.path(0);
  const Registry registry = Registry::with_installed_plugins();
  // A recorded identity begins with the component's name.
  EncoderChoice choice(arguments, registry, "data show", header.codec.substr(0, header.codec.find(' ')));
  const auto codec = choice.make_codec();
  if (codec->identity() != header.codec) {
    throw Error("the shard was made with the codec '" + header.codec + "', the chosen one is '" +
                    codec->identity() + "'",
                path, "give the codec's settings with --config or --set");
  }
  const std::int64_t size = arguments.integer("--size", header.resolutions.back(), 1);
  const auto found = std::find(header.resolutions.begin(), header.resolutions.end(), size);
  if (found == header.resolutions.end()) {
    throw Error("the shard has no pictures of " + std::to_string(size) + " pixels", path,
                "see the line 'bucket' for those it has");
  }
  const auto resolution = static_cast<std::size_t>(found - header.resolutions.begin());
  const auto count = static_cast<std::uint64_t>(arguments.integer("--count", 100, 1, 10000));
  io::write_png(arguments.text("--out"),
                contact_sheet(dataset, *codec, resolution, count, arguments.has("--maps")));
  std::cout << "contact sheet " << arguments.text("--out") << "\n";
}

ExitCode run(const Arguments& arguments) {
  const std::vector<std::string> paths = data::find_shards(arguments.operands());
  for (const std::string& path : paths) {
    const std::shared_ptr<const data::ShardReader> shard = data::ShardReader::open(path);
    const data::ShardHeader& header = shard->header();
    std::cout << data::describe(*shard, static_cast<std::size_t>(arguments.integer("--examples", 8, 0)));
    if (!arguments.has("--verify")) continue;
    for (std::size_t r = 0; r < header.resolutions.size(); ++r) {
      const data::ShardStatistics found = data::verify_shard(*shard, r);
      std::cout << "verified      " << header.resolutions[r] << " px: mean " << found.mean << ", deviation "
                << found.deviation << ", from " << found.least << " to " << found.greatest << "\n";
    }
  }
  // Shards of several folders need not belong together, unless one sheet is to show them.
  const bool one_set = arguments.operands().size() == 1 && paths.size() > 1;
  if (!one_set && !arguments.has("--out")) return ExitCode::done;
  const data::Dataset dataset(paths);
  if (one_set) std::cout << data::describe_buckets(dataset);
  if (arguments.has("--out")) draw_contact_sheet(arguments, dataset);
  return ExitCode::done;
}

}  // namespace

Command show_data_command() {
  CommandTable table;
  table.name = "data show";
  table.summary = "describe shards and draw a contact sheet";
  table.operands = {"SHARD", "A shard, or a folder of shards.", 1, 100000};
  table.options = {
      {"--out", Option::Takes::one, "FILE", "Draw pictures of the shards with their captions, PNG."},
      {"--count", Option::Takes::one, "N", "Pictures on the sheet, spread over the shards (default 100)."},
      {"--size", Option::Takes::one, "N",
       "Which of the shards' picture sides is shown (default: the largest)."},
      {"--maps", Option::Takes::nothing, "", "Draw the control maps instead of the pictures."},
      {"--examples", Option::Takes::one, "N", "Records to list (default 8)."},
      {"--verify", Option::Takes::nothing, "",
       "Read and check every record; print statistics of the latents."},
  };
  const std::vector<Option> encoders = encoder_options();
  for (const Option& option : encoders) {
    if (option.name == "--config" || option.name == "--set") table.options.push_back(option);
  }
  table.examples = {
      {"tessera data show data/emoji/shard-00000-of-00001.h5 --out contact.png", "Look at a data set."},
      {"tessera data show data/emoji --verify", "Check every record of all shards."},
  };
  return {std::move(table), run, {}};
}

}  // namespace tessera::launch
