// adapter_check control: do samples have the edges that they were told to have?

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <vector>

#include "checks.hpp"
#include "data/dataset.hpp"
#include "edge_agreement.hpp"
#include "generate/generator.hpp"
#include "io/picture_grid.hpp"
#include "io/png.hpp"
#include "launch/model_files.hpp"

namespace tessera::quality {
namespace {

using launch::Option;

/// A picture that was not trained on: its caption, its control map, and itself.
struct Wanted {
  std::string caption;
  io::Image map, picture;
};

std::vector<Wanted> wanted_of(const std::string& folder, const RunComponents& components, std::int64_t side,
                              std::size_t most) {
  data::DatasetExpectation expected;
  expected.control = components.control()->identity();
  const data::Dataset dataset({folder}, expected);
  const std::size_t resolution = dataset.resolution_index(side);
  std::vector<Wanted> all;
  for (std::size_t s = 0; s < dataset.shards(); ++s) {
    const auto shard = dataset.reader(s);
    for (std::uint64_t i = 0; i < shard->records() && all.size() < most; ++i) {
      const data::Grid grid = shard->layout().buckets[shard->info(i).bucket].grids[resolution];
      std::vector<float> latent(shard->header().latent_values(grid));
      const auto decoded = [&] { return components.codec().decode(latent, grid.height, grid.width); };
      shard->read_latent(i, resolution, latent.data());
      io::Image picture = decoded();
      shard->read_control(i, resolution, latent.data());
      all.push_back({std::string(shard->caption_text(i, 0)), decoded(), std::move(picture)});
    }
  }
  return all;
}

/// Of several maps with those wanted of them, for edges in the same pixel and at most one pixel apart.
class Mean {
 public:
  void add(const io::Image& found, const io::Image& wanted) {
    exact_.push_back(edge_agreement(found, wanted, 0).f1());
    near_.push_back(edge_agreement(found, wanted, 1).f1());
  }
  [[nodiscard]] double within_one() const { return mean(near_); }
  void print(const char* what) const {
    std::printf("%-36s %10.3f %12.3f\n", what, mean(exact_), within_one());
  }

 private:
  static double mean(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }
  std::vector<double> exact_, near_;
};

// Within one pixel. The map of another picture shows what lines everywhere reach by chance.
constexpr double least_gain = 0.5;  // of the way from the samples without control to 1

ExitCode run(const launch::Arguments& arguments, const comm::Communicator& world) {
  const Registry registry = Registry::with_installed_plugins();
  launch::AdapterChoice model;
  if (arguments.has("--adapter")) {
    model = launch::adapter_of(arguments, "adapter_check control");
  } else {
    model.base = launch::checkpoint_file(arguments.text("--checkpoint"));
    model.weights = checkpoint::Weights::preferred;
  }
  generate::Generator generator(registry, model.base, model.weights, {}, world, model.adapter);
  if (!generator.components().reads_control()) {
    throw Error("the model reads no control maps", model.base.string(), "name a run of a ControlNet");
  }
  generate::Request request = generator.default_request();
  const std::vector<Wanted> wanted =
      wanted_of(arguments.text("--data"), generator.components(), request.resolution,
                static_cast<std::size_t>(arguments.integer("--count", 100, 2, 100000)));
  request.sizes.clear();
  request.prompts.clear();
  request.seed = static_cast<std::uint64_t>(arguments.integer("--seed", 1, 0));
  request.guidance = arguments.number("--guidance", request.guidance, 0, 1000);
  for (const Wanted& one : wanted) request.prompts.push_back(one.caption);
  const std::vector<generate::Picture> without = generator.generate(request, world);
  request.controls_are_maps = true;
  for (const Wanted& one : wanted) request.controls.push_back(one.map);
  const std::vector<generate::Picture> with = generator.generate(request, world);
  if (world.rank() != 0) return ExitCode::done;

  const auto edges = [&](const io::Image& picture) {
    return generator.components().control()->extract(picture);
  };
  Mean controlled, free, other;
  std::vector<io::Tile> tiles;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    controlled.add(edges(with[i].image), wanted[i].map);
    free.add(edges(without[i].image), wanted[i].map);
    other.add(wanted[(i + 1) % wanted.size()].map, wanted[i].map);
    if (i >= 16) continue;
    tiles.push_back({wanted[i].map, wanted[i].caption});
    tiles.push_back({with[i].image, "with control"});
    tiles.push_back({without[i].image, "without"});
    tiles.push_back({wanted[i].picture, "real"});
  }
  std::printf("%zu pictures that were not trained on; F1 of edges\n%-36s %10s %12s\n", wanted.size(), "",
              "same pixel", "within 1 px");
  controlled.print("samples with the map as control");
  free.print("samples without");
  other.print("the map of the next picture");
  if (arguments.has("--out")) {
    io::GridOptions options;
    options.columns = 8;
    io::write_png(arguments.text("--out"), io::picture_grid(tiles, options));
  }
  const bool good = controlled.within_one() - free.within_one() >= least_gain * (1 - free.within_one());
  return arguments.has("--gate") && !good ? ExitCode::error : ExitCode::done;
}

}  // namespace

launch::Command control_check() {
  launch::CommandTable table;
  table.name = "control";
  table.summary = "edges of samples against the control maps that they follow";
  table.details =
      "Draws a picture for every record with a control map, with that map and without, from the same noise, "
      "and "
      "compares the edges of both with the map.";
  table.options = {
      {"--checkpoint", Option::Takes::one, "FILE",
       "A checkpoint or run with a ControlNet, or the base of --adapter."},
      {"--adapter", Option::Takes::one, "FILE", "A ControlNet in a file of its own."},
      {"--data", Option::Takes::one, "DIR", "Shards with control maps, of pictures that were not trained on.",
       true},
      {"--count", Option::Takes::one, "N", "At most so many of them (default 100)."},
      {"--seed", Option::Takes::one, "N", "Chooses the noise (default 1)."},
      {"--guidance", Option::Takes::one, "X", "Classifier-free guidance (default: the run's)."},
      launch::weights_option("preferred"),
      {"--out", Option::Takes::one, "FILE",
       "The first sixteen: map, sample with it, sample without, real picture."},
      {"--gate", Option::Takes::nothing, "",
       "Exit code 1 unless the F1 with control is high, and far above that without."},
  };
  return {std::move(table), {}, run};
}

}  // namespace tessera::quality
