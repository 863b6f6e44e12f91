// Training step and sampling of MicroDiT-Tiny/2 on random latents (4 x 32 x 32) and captions (77 x 1024):
//   mpirun -n 2 model_bench [--what train|sample] [--dtype float32|bfloat16] [--mask 0.75] [--batch 16]
//                           [--steps 6] [--config configs/microdit/model-tiny-2.toml]
//                           [--set model.backbone.recompute=true]...
// Prints one JSON object: median seconds of a step (or of one network call in sampling), images per second,
// the peak of the memory of all ranks together (the sum of their proportional set sizes at one time), and the
// peak of a rank's tensors outside of the shared arenas, the mean over the ranks.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/random.hpp"
#include "comm/environment.hpp"
#include "comm/job.hpp"
#include "comm/shared_arena.hpp"
#include "comm/slice.hpp"
#include "compute/runtime.hpp"
#include "data/shard_writer.hpp"
#include "nn/parameter_store.hpp"
#include "plugin/run_components.hpp"
#include "tensor/allocator.hpp"
#include "train/trainer.hpp"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;
using Options = std::map<std::string, std::string>;
constexpr const char* set_option = "--set";  // its values, one to a line

/// Rank 0 samples the sum of the proportional set sizes of all ranks of its node. Each rank's own peak would
/// not do: a page that two ranks map counts as half a page for each, but wholly for the first that touches it
/// and for the last that lets it go.
class PeakMemory {
 public:
  explicit PeakMemory(const comm::Communicator& world)
      : processes_(world.node().gather(std::to_string(::getpid()))),
        thread_([this, watching = world.rank() == 0] {
          if (watching) watch();
        }) {}
  ~PeakMemory() {
    done_ = true;
    thread_.join();
  }
  PeakMemory(const PeakMemory&) = delete;
  PeakMemory& operator=(const PeakMemory&) = delete;
  [[nodiscard]] double mib() const { return static_cast<double>(peak_kib_.load()) / 1024.0; }

 private:
  void watch() {
    while (!done_) {
      long sum = 0;
      for (const std::string& process : processes_) sum += proportional_kib(process);
      peak_kib_ = std::max(peak_kib_.load(), sum);
      // Walking the pages takes the cores' time, and what a rank has taken once it keeps.
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
  }
  static long proportional_kib(const std::string& process) {
    std::ifstream file("/proc/" + process + "/smaps_rollup");
    long kib = 0;
    for (std::string word; file >> word;) {
      if (word == "Pss:" && file >> kib) return kib;
    }
    return 0;
  }
  std::vector<std::string> processes_;
  std::atomic<bool> done_{false};
  std::atomic<long> peak_kib_{0};
  std::thread thread_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0.0 : values[values.size() / 2];
}

std::vector<float> normals(std::uint64_t position, std::size_t count) {
  std::vector<float> values(count);
  fill_normal(RandomStream(RandomKey{.purpose = Purpose::test}), position, 0, values.data(), count);
  return values;
}

ConfigTree configuration(const Options& options, const std::filesystem::path& folder) {
  ConfigTree tree = ConfigTree::load({options.at("--config")});
  const std::string steps = options.at("--steps");
  for (const std::string& assignment :
       {"run.precision=\"" + options.at("--dtype") + "\"", std::string("run.log_every=1"),
        "data.path=[\"" + (folder / "data").string() + "\"]"}) {
    tree.set(assignment);
  }
  ConfigTree stages =
      ConfigTree::parse("[[stage]]\nname = \"bench\"\nresolution = 256\nsteps = " + steps +
                            "\nbatch = " + options.at("--batch") + "\nmask_ratio = " + options.at("--mask") +
                            "\nlearning_rate = 1e-4\nclip_norm = 0.25\n",
                        "bench");
  tree.merge(stages);
  std::istringstream settings(options.at(set_option));
  for (std::string assignment; std::getline(settings, assignment);) tree.set(assignment);
  return tree;
}

void write_data(const RunComponents& components, const std::filesystem::path& folder) {
  data::ShardHeader header;
  header.codec = components.codec().identity();
  header.text_encoder = components.text_encoder().identity();
  header.channels = components.codec().channels();
  header.resolutions = {256};
  header.caption_length = components.text_encoder().length();
  header.caption_width = components.text_encoder().width();
  data::DatasetWriter writer((folder / "data").string(), header);
  const auto elements = static_cast<std::size_t>(header.caption_length * header.caption_width);
  for (std::uint64_t i = 0; i < 64; ++i) {
    data::Record record;
    record.id = std::to_string(i);
    record.width = record.height = 256;
    record.latents.push_back({{32, 32}, normals(2 * i, 4 * 32 * 32)});
    record.captions.push_back({"noise", header.caption_length, normals(2 * i + 1, elements)});
    writer.add(record);
  }
  writer.finish();
}

/// Seconds of each step, from the run's own metrics; the first two warm up caches and pages.
std::vector<double> train_steps(const Options& options, const Registry& registry,
                                const comm::Communicator& world, const std::filesystem::path& folder) {
  const ConfigTree tree = configuration(options, folder);
  if (world.rank() == 0) write_data(RunComponents(registry, tree), folder);
  world.barrier();
  static_cast<void>(
      train::train(train::RunConfig::resolve(tree), registry, world, folder / "run", false, {}));
  std::vector<double> seconds;
  std::ifstream metrics(folder / "run" / "metrics.jsonl");
  for (std::string line; std::getline(metrics, line);) {
    const std::string key = "\"images_per_s\":";
    const std::size_t at = line.find(key);
    if (at != std::string::npos)
      seconds.push_back(std::stod(options.at("--batch")) / std::stod(line.substr(at + key.size())));
  }
  if (seconds.size() > 2) seconds.erase(seconds.begin(), seconds.begin() + 2);
  return seconds;
}

/// Seconds of each network call with guidance, this rank drawing its share of the batch.
std::vector<double> sample_calls(const Options& options, const Registry& registry,
                                 const comm::Communicator& world, const std::filesystem::path& folder) {
  RunComponents components(registry, configuration(options, folder));
  nn::ParameterStore store(components.backbone());
  const bool shared = world.size() > 1 && comm::SharedArena::supported(world);  // as generate::Generator
  const auto arena = [&](const std::string&, std::int64_t elements, DType type) {
    return shared ? comm::shared_tensor(world, elements, type) : Tensor::zeros({elements}, type);
  };
  store.materialise(nn::Precision::named(options.at("--dtype")), arena, nn::GradientFlow::none);
  if (!shared || world.node_rank() == 0) store.initialize(18);
  world.barrier();
  const comm::Slice mine = comm::slice_of(std::stoul(options.at("--batch")), world.rank(), world.size());
  DenoiserRequest request;
  request.shape = {static_cast<std::int64_t>(mine.size()), 4, 32, 32};
  request.caption_width = components.text_encoder().width();
  const std::int64_t length = components.text_encoder().length();
  request.captions = normals(7, mine.size() * static_cast<std::size_t>(length * request.caption_width));
  request.guidance = 3;
  const auto denoiser = components.objective().denoiser(components.backbone(), request);
  const std::vector<float> start = normals(8, static_cast<std::size_t>(request.shape.numel()));
  std::vector<double> seconds;
  Clock::time_point last = Clock::now();
  SamplerTrace trace;
  trace.after_call = [&](double, const std::vector<double>&, const std::vector<double>&) {
    world.barrier();  // a picture is drawn when the slowest rank is done
    const Clock::time_point now = Clock::now();
    seconds.push_back(std::chrono::duration<double>(now - last).count());
    last = now;
  };
  const NoiseSource noise = [&](int) { return std::vector<double>(start.begin(), start.end()); };
  static_cast<void>(components.sampler().sample(*denoiser, noise, std::stoi(options.at("--steps")), trace));
  if (seconds.size() > 2) seconds.erase(seconds.begin(), seconds.begin() + 2);
  return seconds;
}

ExitCode run(const Options& options, const comm::Communicator& world) {
  const Registry registry = Registry::with_installed_plugins();
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("tessera-model-bench-" + std::to_string(::getppid()));
  const PeakMemory memory(world);
  const bool training = options.at("--what") == "train";
  const std::vector<double> seconds = training ? train_steps(options, registry, world, folder)
                                               : sample_calls(options, registry, world, folder);
  const double tensors = world.ordered_sum(static_cast<double>(memory_statistics().peak) / (1 << 20));
  if (world.rank() == 0) {
    std::filesystem::remove_all(folder);
    const double step = median(seconds);
    std::printf(
        "{\"what\": \"%s\", \"dtype\": \"%s\", \"mask\": %s, \"batch\": %s, \"ranks\": %d, \"median_s\": "
        "%.4f, "
        "\"fastest_s\": %.4f, \"images_per_s\": %.3f, \"peak_pss_mib\": %.0f, \"tensors_of_a_rank_mib\": "
        "%.0f}\n",
        options.at("--what").c_str(), options.at("--dtype").c_str(), options.at("--mask").c_str(),
        options.at("--batch").c_str(), world.size(), step, *std::min_element(seconds.begin(), seconds.end()),
        std::stod(options.at("--batch")) / step, memory.mib(), tensors / world.size());
  }
  return ExitCode::done;
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  tessera::keep_freed_memory();
  const tessera::comm::Environment mpi;
  const tessera::Runtime runtime;
  tessera::Options options{{"--what", "train"}, {"--dtype", "float32"},
                           {"--mask", "0.75"},  {"--batch", "16"},
                           {"--steps", "8"},    {"--config", "configs/microdit/model-tiny-2.toml"},
                           {tessera::set_option, ""}};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (options.count(argv[i]) == 0) {
      std::fprintf(stderr, "model_bench: unknown option %s\n", argv[i]);
      return 2;
    }
    if (std::string(argv[i]) == tessera::set_option) {
      options[argv[i]] += std::string(argv[i + 1]) + "\n";
    } else {
      options[argv[i]] = argv[i + 1];
    }
  }
  return tessera::comm::guard(
      [&](const tessera::comm::Communicator& world) { return tessera::run(options, world); },
      [](const tessera::Error& error, int) { std::fprintf(stderr, "%s\n", error.what()); });
}
