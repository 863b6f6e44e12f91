// tessera sample

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <sstream>
#include <thread>

#include "base/log.hpp"
#include "compute/matmul.hpp"
#include "data/aspect_buckets.hpp"
#include "generate/generator.hpp"
#include "io/file.hpp"
#include "io/image_file.hpp"
#include "io/png.hpp"
#include "launch/command.hpp"
#include "launch/model_files.hpp"

namespace tessera::launch {
namespace {

namespace fs = std::filesystem;

/// The processor's cores shared out among the ranks of the node, unless the user said something else.
int threads_per_rank(const comm::Communicator& world) {
  if (const char* given = std::getenv("OMP_NUM_THREADS")) return std::max(1, std::atoi(given));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / world.node_size());
}

std::vector<std::string> prompts_of(const Arguments& arguments) {
  std::vector<std::string> prompts = arguments.texts("--prompt");
  for (const std::string& file : arguments.texts("--prompts")) {
    std::istringstream lines(io::read_file(file));
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (!line.empty()) prompts.push_back(line);
    }
  }
  return prompts;
}

/// Height / width of --aspect.
double aspect_of(const Arguments& arguments) {
  try {
    return data::aspect_of(arguments.text("--aspect"));
  } catch (const Error& error) {
    throw usage_error("--aspect: " + error.summary(), "sample", error.remedy());
  }
}

/// --sampler and --set as a table [sampler].
ConfigTree sampler_of(const Arguments& arguments) {
  ConfigTree tree;
  for (const std::string& assignment : arguments.texts("--set")) {
    if (!assignment.starts_with("sampler.")) {
      throw usage_error("--set " + assignment + " does not set the sampler", "sample",
                        "begin the key with sampler.; the checkpoint says the rest.");
    }
    tree.set(assignment);
  }
  if (arguments.has("--sampler")) tree.set("sampler.name", FieldValue(arguments.text("--sampler")));
  return tree.table("sampler");
}

/// What to draw with; without --adapter that is empty.
AdapterChoice model_of(const Arguments& arguments) {
  if (arguments.has("--adapter")) return adapter_of(arguments, "sample");
  if (!arguments.has("--checkpoint")) {
    throw usage_error("--checkpoint FILE is missing", "sample", "name a checkpoint, or give --adapter FILE.");
  }
  return {{},
          checkpoint_file(arguments.text("--checkpoint")),
          weights_of(arguments, "sample", checkpoint::Weights::preferred)};
}

/// --control and --control-map.
void add_controls(const Arguments& arguments, const RunComponents& components, generate::Request& request) {
  if (arguments.has("--control-map") && !arguments.has("--control")) {
    throw usage_error("--control-map is about the pictures of --control", "sample", "add --control FILE.");
  }
  for (const std::string& file : arguments.texts("--control"))
    request.controls.push_back(io::read_image(file));
  request.controls_are_maps = arguments.has("--control-map");
  if (components.reads_control() && request.controls.empty()) {
    log_warning("Without --control FILE the model draws as it did before its ControlNet was trained.");
  }
}

/// "003-1-purple-heart.png"
std::string file_name(const generate::Picture& picture) {
  std::string name = std::to_string(picture.prompt_index);
  name = std::string(3 - std::min<std::size_t>(3, name.size()), '0') + name + "-" +
         std::to_string(picture.number) + "-";
  for (const char c : picture.prompt.substr(0, 60)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (plain) {
      name += c;
    } else if (name.back() != '-') {
      name += '-';
    }
  }
  return name + ".png";
}

/// Quoted as RFC 4180 has it.
std::string csv_field(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

void write(const Arguments& arguments, const std::string& grid,
           const std::vector<generate::Picture>& pictures) {
  io::write_png(grid, generate::grid_of(pictures));
  std::cout << pictures.size() << " pictures: " << grid << "\n";
  if (arguments.has("--singles")) {
    const std::string folder = arguments.text("--singles");
    io::make_folders(folder);
    std::string captions = "image,caption\n";
    for (const generate::Picture& picture : pictures) {
      io::write_png(fs::path(folder) / file_name(picture), picture.image);
      captions += file_name(picture) + "," + csv_field(picture.prompt) + "\n";
    }
    io::replace_file((fs::path(folder) / "captions.csv").string(), captions);
    std::cout << "single files: " << folder << ", with captions.csv for `tessera data build folder`\n";
  }
}

/// On a terminal one line that is kept up to date, elsewhere a line every ten seconds.
std::function<void(std::int64_t, std::int64_t)> progress_line() {
  using Clock = std::chrono::steady_clock;
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  return [terminal, last = Clock::now()](std::int64_t done, std::int64_t all) mutable {
    if (terminal) {
      std::cerr << "\r" << done << " of " << all << " pictures" << (done == all ? "\n" : "") << std::flush;
    } else if (Clock::now() - last > std::chrono::seconds(10)) {
      std::cerr << "rank 0: " << done << " of its " << all << " pictures" << std::endl;
      last = Clock::now();
    }
  };
}

ExitCode run(const Arguments& arguments, const comm::Communicator& world) {
  compute::set_matmul_threads(threads_per_rank(world));
  const Registry registry = Registry::with_installed_plugins();
  if (world.rank() == 0) logger().add_stream(std::cerr, LogLevel::warning);
  const AdapterChoice model = model_of(arguments);
  generate::Generator generator(registry, model.base, model.weights, arguments.text("--precision"), world,
                                model.adapter);
  generator.set_sampler(sampler_of(arguments));
  generate::Request request = generator.default_request();
  std::vector<double> aspects = generator.stage().sample.aspects;
  if (const auto prompts = prompts_of(arguments); !prompts.empty()) {
    request.prompts = prompts;
    aspects.clear();  // those belong to the run's own prompts
  }
  if (arguments.has("--aspect")) aspects = {aspect_of(arguments)};
  if (request.prompts.empty()) {
    throw usage_error("there is no prompt, neither here nor in the run's configuration", "sample",
                      "give --prompt TEXT or --prompts FILE.");
  }
  request.per_prompt = arguments.integer("--per-prompt", 1, 1, 100000);
  request.resolution = arguments.integer("--size", request.resolution, 1, 65536);
  request.sizes = generator.sizes_of(aspects, request.resolution);
  request.seed =
      static_cast<std::uint64_t>(arguments.integer("--seed", static_cast<std::int64_t>(request.seed), 0));
  request.guidance = arguments.number("--guidance", request.guidance, 0, 1000);
  request.steps = static_cast<int>(arguments.integer("--steps", request.steps, 1, 10000));
  request.batch = arguments.integer("--batch", request.batch, 1, 65536);
  add_controls(arguments, generator.components(), request);
  const std::string grid = arguments.text("--out", "samples.png");
  if (world.rank() == 0) {
    io::make_folders(io::folder_of(grid));  // before the work, should it fail
    request.progress = progress_line();
  }
  const std::vector<generate::Picture> pictures = generator.generate(request, world);
  if (world.rank() == 0) write(arguments, grid, pictures);
  return ExitCode::done;
}

}  // namespace

Command sample_command() {
  CommandTable table;
  table.name = "sample";
  table.summary = "draw pictures of prompts with a trained model";
  table.details =
      "The checkpoint says everything about the model. A picture depends on its prompt, the prompt's place "
      "in "
      "the list, the seed and the settings below, not on the number of ranks, which share the pictures.";
  table.options = {
      {"--checkpoint", Option::Takes::one, "FILE",
       "A checkpoint, or a run folder, whose newest intact one is taken; needed unless an adapter names the "
       "one that it was trained on."},
      {"--adapter", Option::Takes::one, "FILE",
       "An adapter that `tessera checkpoint export-adapter` wrote, to draw with on top of the checkpoint."},
      {"--prompt", Option::Takes::several, "TEXT",
       "What to draw; several may follow (default: the sample prompts of the run)."},
      {"--prompts", Option::Takes::each, "FILE", "More prompts, one a line."},
      {"--per-prompt", Option::Takes::one, "N", "Pictures of each prompt (default 1)."},
      {"--control", Option::Takes::several, "FILE",
       "Pictures to follow, taken by the prompts in turn: their control maps (edges, for example) are made "
       "as "
       "those of the training data were. For models with a ControlNet."},
      {"--control-map", Option::Takes::nothing, "", "The pictures of --control are control maps already."},
      {"--sampler", Option::Takes::one, "NAME",
       "Another sampler than the run's, with its own defaults; `tessera plugins` lists them."},
      {"--set", Option::Takes::each, "KEY=VALUE",
       "A setting of the sampler, for example sampler.eta=0.5. Repeatable."},
      {"--steps", Option::Takes::one, "N",
       "Sampler steps (default: the run's for its own sampler, else the sampler's)."},
      {"--guidance", Option::Takes::one, "X",
       "Classifier-free guidance; 1 is none (default: run.sample_guidance)."},
      {"--seed", Option::Takes::one, "N", "Chooses the noise (default: run.sample_seed)."},
      {"--size", Option::Takes::one, "PIXELS",
       "Picture side, of other shapes that of the square with as many pixels (default: that of the "
       "checkpoint's stage)."},
      {"--aspect", Option::Takes::one, "W:H",
       "Shape of all pictures, for example 2:1: the nearest aspect bucket (default: squares, and for the "
       "run's own prompts its sample_aspects)."},
      weights_option("preferred; of an adapter's checkpoint those that it was trained on"),
      {"--precision", Option::Takes::one, "TYPE", "float32, bfloat16 or float64 (default: the run's)."},
      {"--batch", Option::Takes::one, "N", "Pictures at a time on each rank (default 8)."},
      {"--out", Option::Takes::one, "FILE", "The grid of all pictures, PNG (default samples.png)."},
      {"--singles", Option::Takes::one, "DIR",
       "Also write every picture to a file of its own, with the prompts in captions.csv: a folder for "
       "`tessera data "
       "build folder`."},
  };
  table.examples = {
      {"tessera sample --checkpoint runs/quickstart --prompt \"purple heart\" \"green circle\" --out "
       "grid.png",
       "The newest checkpoint of a run draws two prompts."},
      {"mpirun -n 2 tessera sample --checkpoint runs/quickstart --prompts prompts.txt --per-prompt 4 --seed "
       "7",
       "Two ranks draw four pictures of every line."},
      {"tessera sample --adapter edges.h5 --control photo.png --prompt \"red heart\" \"blue heart\"",
       "Two pictures with the edges of a photo."},
      {"tessera sample --checkpoint runs/quickstart --sampler dpm-solver++ --steps 15",
       "The run's own prompts with fewer network calls."},
  };
  return {std::move(table), {}, run};
}

}  // namespace tessera::launch
