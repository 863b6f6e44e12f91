// adapter_check subject: did a model learn its subject, and does it still know the class that this is one of?

#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "checks.hpp"
#include "data/dataset.hpp"
#include "generate/generator.hpp"
#include "io/picture_grid.hpp"
#include "io/png.hpp"
#include "launch/model_files.hpp"

namespace tessera::quality {
namespace {

using generate::Generator;
using generate::Picture;
using launch::Option;

/// Root mean square of the differences, of a range of 1. @pre equal sizes
double distance(const io::Image& a, const io::Image& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) {
    const double difference = (int{a.pixels[i]} - int{b.pixels[i]}) / 255.0;
    sum += difference * difference;
  }
  return std::sqrt(sum / static_cast<double>(a.pixels.size()));
}

/// To the nearest of several pictures, averaged over the samples.
double distance_to(const std::vector<Picture>& samples, const std::vector<io::Image>& pictures) {
  double sum = 0;
  for (const Picture& sample : samples) {
    double nearest = std::numeric_limits<double>::infinity();
    for (const io::Image& picture : pictures) nearest = std::min(nearest, distance(sample.image, picture));
    sum += nearest;
  }
  return sum / static_cast<double>(samples.size());
}

/// Of pairs drawn from the same noise.
double change(const std::vector<Picture>& before, const std::vector<Picture>& after) {
  double sum = 0;
  for (std::size_t i = 0; i < before.size(); ++i) sum += distance(before[i].image, after[i].image);
  return sum / static_cast<double>(before.size());
}

std::vector<io::Image> pictures_in(const std::string& folder, const RunComponents& components,
                                   std::int64_t side) {
  const data::Dataset dataset({folder});
  const std::size_t resolution = dataset.resolution_index(side);
  std::vector<io::Image> pictures;
  for (std::size_t s = 0; s < dataset.shards(); ++s) {
    const auto shard = dataset.reader(s);
    for (std::uint64_t i = 0; i < shard->records(); ++i) {
      const data::Grid grid = shard->layout().buckets[shard->info(i).bucket].grids[resolution];
      std::vector<float> latent(shard->header().latent_values(grid));
      shard->read_latent(i, resolution, latent.data());
      pictures.push_back(components.codec().decode(latent, grid.height, grid.width));
    }
  }
  return pictures;
}

struct Samples {
  std::vector<Picture> subject, kind;
};

Samples draw(Generator& generator, const launch::Arguments& arguments, const comm::Communicator& world) {
  generate::Request request = generator.default_request();
  request.sizes.clear();
  request.per_prompt = arguments.integer("--count", 16, 1, 10000);
  request.seed = static_cast<std::uint64_t>(arguments.integer("--seed", 1, 0));
  request.guidance = arguments.number("--guidance", request.guidance, 0, 1000);
  Samples samples;
  request.prompts = {arguments.text("--prompt")};
  samples.subject = generator.generate(request, world);
  request.prompts = {arguments.text("--class-prompt")};
  samples.kind = generator.generate(request, world);
  return samples;
}

// What the model learned must bring its samples much nearer to the subject, and leave those of the class
// where they were: neither near the subject nor far from what they are without.
constexpr double most_of_before = 0.6;
constexpr double least_of_class = 0.85;

ExitCode run(const launch::Arguments& arguments, const comm::Communicator& world) {
  const Registry registry = Registry::with_installed_plugins();
  Generator before(registry, launch::checkpoint_file(arguments.text("--before")),
                   checkpoint::Weights::preferred, {}, world);
  const std::vector<io::Image> subject =
      pictures_in(arguments.text("--subject"), before.components(), before.default_request().resolution);
  const Samples first = draw(before, arguments, world);
  launch::AdapterChoice model;
  if (arguments.has("--adapter")) {
    model = launch::adapter_of(arguments, "adapter_check subject");
  } else {
    model.base = launch::checkpoint_file(arguments.text("--after"));
    model.weights = checkpoint::Weights::preferred;
  }
  Generator after(registry, model.base, model.weights, {}, world, model.adapter);
  const Samples last = draw(after, arguments, world);
  if (world.rank() != 0) return ExitCode::done;

  const double learned_before = distance_to(first.subject, subject),
               learned = distance_to(last.subject, subject);
  const double class_before = distance_to(first.kind, subject), class_after = distance_to(last.kind, subject);
  std::printf(
      "root mean square distances of pixels, of a range of 1; %zu samples each, %zu pictures of the "
      "subject\n",
      first.subject.size(), subject.size());
  std::printf("%-44s %8s %8s\n", "", "before", "after");
  std::printf("%-44s %8.3f %8.3f\n", "subject's prompt: to the nearest of its pictures", learned_before,
              learned);
  std::printf("%-44s %8.3f %8.3f\n", "class prompt: to the nearest of its pictures", class_before,
              class_after);
  std::printf("%-44s %8s %8.3f\n", "class prompt: from before, same noise", "",
              change(first.kind, last.kind));
  if (arguments.has("--out")) {
    std::vector<io::Tile> tiles;
    const auto row = [&](const std::vector<Picture>& pictures, const std::string& label) {
      for (std::size_t i = 0; i < 8 && i < pictures.size(); ++i) tiles.push_back({pictures[i].image, label});
    };
    for (std::size_t i = 0; i < 8; ++i) tiles.push_back({subject[i % subject.size()], "the subject"});
    row(first.subject, arguments.text("--prompt") + ", before");
    row(last.subject, arguments.text("--prompt") + ", after");
    row(first.kind, arguments.text("--class-prompt") + ", before");
    row(last.kind, arguments.text("--class-prompt") + ", after");
    io::GridOptions options;
    options.columns = 8;
    io::write_png(arguments.text("--out"), io::picture_grid(tiles, options));
  }
  const bool good =
      learned <= most_of_before * learned_before && class_after >= least_of_class * class_before;
  return arguments.has("--gate") && !good ? ExitCode::error : ExitCode::done;
}

}  // namespace

launch::Command subject_check() {
  launch::CommandTable table;
  table.name = "subject";
  table.summary =
      "samples of a subject's prompt and of its class, before and after training on it (DreamBooth)";
  table.details = "Draws both prompts with both models from the same noise.";
  table.options = {
      {"--before", Option::Takes::one, "FILE", "The model that training began from, a checkpoint or run.",
       true},
      {"--after", Option::Takes::one, "FILE", "The trained one."},
      {"--adapter", Option::Takes::one, "FILE", "Instead of --after, an adapter to the model before."},
      {"--checkpoint", Option::Takes::one, "FILE", "The base of --adapter (default: the one it names)."},
      {"--subject", Option::Takes::one, "DIR", "Shards of the subject's pictures.", true},
      {"--prompt", Option::Takes::one, "TEXT", "The subject's.", true},
      {"--class-prompt", Option::Takes::one, "TEXT", "Its class's.", true},
      {"--count", Option::Takes::one, "N", "Samples of each (default 16)."},
      {"--seed", Option::Takes::one, "N", "Chooses the noise (default 1)."},
      {"--guidance", Option::Takes::one, "X", "Classifier-free guidance (default: the run's)."},
      launch::weights_option("preferred"),
      {"--out", Option::Takes::one, "FILE", "The first eight of each, and the subject."},
      {"--gate", Option::Takes::nothing, "",
       "Exit code 1 unless samples came near the subject and those of the class did not."},
  };
  return {std::move(table), {}, run};
}

}  // namespace tessera::quality
