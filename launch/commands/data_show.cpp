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

io::Image contact_sheet(const data::ShardReader& shard, const Codec& codec, std::size_t resolution,
                        std::uint64_t count) {
  std::vector<io::Tile> tiles;
  count = std::min<std::uint64_t>(count, shard.records());
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t record = i * shard.records() / count;  // spread over the shard
    const data::RecordInfo info = shard.info(record);
    const data::Grid grid = shard.layout().buckets[info.bucket].grids[resolution];
    std::vector<float> latent(shard.header().latent_values(grid));
    shard.read_latent(record, resolution, latent.data());
    if (shard.header().latent == data::LatentKind::posterior) latent.resize(latent.size() / 2);
    const std::string caption =
        info.captions > 0 ? std::string(shard.caption_text(record, 0)) : std::string(info.id);
    tiles.push_back({codec.decode(latent, grid.height, grid.width), caption});
  }
  return io::picture_grid(tiles);
}

ExitCode run(const Arguments& arguments) {
  for (const std::string& path : data::find_shards(arguments.operands())) {
    const std::shared_ptr<const data::ShardReader> shard = data::ShardReader::open(path);
    const data::ShardHeader& header = shard->header();
    std::cout << data::describe(*shard, static_cast<std::size_t>(arguments.integer("--examples", 8, 0)));
    if (arguments.has("--verify")) {
      for (std::size_t r = 0; r < header.resolutions.size(); ++r) {
        const data::ShardStatistics found = data::verify_shard(*shard, r);
        std::cout << "verified      " << header.resolutions[r] << " px: mean " << found.mean << ", deviation "
                  << found.deviation << ", from " << found.least << " to " << found.greatest << "\n";
      }
    }
    if (!arguments.has("--out")) continue;

    const Registry registry = Registry::with_installed_plugins();
    // A recorded identity begins with the component's name.
    EncoderChoice choice(arguments, registry, "data show", header.codec.substr(0, header.codec.find(' ')));
    const auto codec = choice.make_codec();
    if (codec->identity() != header.codec) {
      throw Error("the shard was made with the codec '" + header.codec + "', the chosen one is '" +
                      codec->identity() + "'",
                  path, "give the codec's settings with --config or --set");
    }
    std::int64_t size = header.resolutions.back();
    size = arguments.integer("--size", size, 1);
    const auto found = std::find(header.resolutions.begin(), header.resolutions.end(), size);
    if (found == header.resolutions.end()) {
      throw Error("the shard has no pictures of " + std::to_string(size) + " pixels", path,
                  "see the line 'bucket' for those it has");
    }
    const auto resolution = static_cast<std::size_t>(found - header.resolutions.begin());
    const auto count = static_cast<std::uint64_t>(arguments.integer("--count", 100, 1, 10000));
    io::write_png(arguments.text("--out"), contact_sheet(*shard, *codec, resolution, count));
    std::cout << "contact sheet " << arguments.text("--out") << "\n";
    return ExitCode::done;  // one file, one sheet: of the first shard
  }
  return ExitCode::done;
}

}  // namespace

Command show_data_command() {
  CommandTable table;
  table.name = "data show";
  table.summary = "describe shards and draw a contact sheet";
  table.operands = {"SHARD", "A shard, or a folder of shards.", 1, 100000};
  table.options = {
      {"--out", Option::Takes::one, "FILE", "Draw pictures of the first shard with their captions, PNG."},
      {"--count", Option::Takes::one, "N", "Pictures on the sheet, spread over the shard (default 100)."},
      {"--size", Option::Takes::one, "N", "Picture side on the sheet (default: the shard's largest)."},
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
