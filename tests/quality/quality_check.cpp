// quality_check: scores samples of held-out captions, or the scorer itself.

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "base/error.hpp"
#include "checkpoint/checkpoint_folder.hpp"
#include "comm/environment.hpp"
#include "comm/job.hpp"
#include "compute/runtime.hpp"
#include "generate/generator.hpp"
#include "pair_report.hpp"
#include "real_pictures.hpp"
#include "report.hpp"
#include "self_test.hpp"
#include "tensor/allocator.hpp"

namespace tessera::quality {
namespace {

constexpr const char* usage_text =
    "quality_check --checkpoint FILE_OR_RUN [--pairs] [--seeds 8] [--steps N] [--guidance X] [--out "
    "grid.png]\n"
    "              [--json] [--gate]\n"
    "quality_check --self-test [--pairs] [--json]\n\n"
    "Draws each of six held-out colour-and-shape captions with the seeds 0, 1, ... and says how many "
    "pictures\n"
    "have the colour (nearest of the palette in Lab space) and the shape (intersection over union with the\n"
    "mean silhouette of at least 0.6) that was asked for. --pairs draws six held-out pairs, \"red heart and\n"
    "blue square\", twice as wide as high, and judges the left and the right half so. --gate makes exit code "
    "1\n"
    "of missed aims. Under mpirun the ranks share the pictures. --self-test scores real pictures instead,\n"
    "under their own prompts and each other's; exit code 1 when the scorer cannot tell them apart.\n";

struct Arguments {
  std::string checkpoint;
  std::string grid;
  std::uint64_t seeds = 8;
  std::optional<int> steps;
  std::optional<double> guidance;
  bool pairs = false;
  bool self_test = false;
  bool json = false;
  bool gate = false;
  bool help = false;
};

Error usage(const std::string& what) { return Error(what, {}, usage_text, ExitCode::usage); }

template <class T>
T number(const std::string& word, const std::string& option, T lowest) {
  T value{};
  const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (failure != std::errc{} || end != word.data() + word.size() || !(value >= lowest))
    throw usage("'" + word + "' is no value for " + option);
  return value;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 >= argc) throw usage(word + " needs a value");
      return argv[++i];
    };
    if (word == "--checkpoint") {
      arguments.checkpoint = value();
    } else if (word == "--out") {
      arguments.grid = value();
    } else if (word == "--seeds") {
      arguments.seeds = number<std::uint64_t>(value(), word, 1);
    } else if (word == "--steps") {
      arguments.steps = number<int>(value(), word, 1);
    } else if (word == "--guidance") {
      arguments.guidance = number<double>(value(), word, 0);
    } else if (word == "--pairs") {
      arguments.pairs = true;
    } else if (word == "--self-test") {
      arguments.self_test = true;
    } else if (word == "--json") {
      arguments.json = true;
    } else if (word == "--gate") {
      arguments.gate = true;
    } else if (word == "--help") {
      arguments.help = true;
    } else {
      throw usage("unknown option '" + word + "'");
    }
  }
  if (!arguments.help && arguments.self_test == !arguments.checkpoint.empty())
    throw usage("give either --checkpoint or --self-test");
  return arguments;
}

template <class Test>
ExitCode check_scorer(const Test& result, const Arguments& arguments) {
  std::printf("%s\n", (arguments.json ? json(result) : table(result)).c_str());
  return result.passed() ? ExitCode::done : ExitCode::error;
}

/// A checkpoint, or the newest intact one of a run folder.
std::filesystem::path checkpoint_file(const std::filesystem::path& given) {
  if (!std::filesystem::is_directory(given)) return given;
  const auto found = checkpoint::newest_intact(given / "checkpoints");
  if (!found) throw Error("the run has no checkpoint", given.string(), "Train first, or name a file.");
  return found->file;
}

/// Every caption with every seed; calls `judge(picture, seed)` for each on rank 0.
template <class Judge>
void draw(generate::Generator& generator, generate::Request request,
          std::span<const std::string_view> captions, const Arguments& arguments,
          const comm::Communicator& world, const Judge& judge) {
  request.prompts.assign(captions.begin(), captions.end());
  request.per_prompt = 1;
  if (arguments.steps) request.steps = *arguments.steps;
  if (arguments.guidance) request.guidance = *arguments.guidance;
  for (std::uint64_t seed = 0; seed < arguments.seeds; ++seed) {
    request.seed = seed;
    for (generate::Picture& picture : generator.generate(request, world)) judge(picture, seed);
  }
}

template <class JudgedPicture>
void report(const std::vector<JudgedPicture>& judged, const Arguments& arguments, const std::string& file) {
  std::printf("%s\n", (arguments.json ? json(judged, file) : table(judged)).c_str());
  if (!arguments.grid.empty()) write_grid(arguments.grid, judged);
}

// Both make their scorer when the first picture tells the size.

bool check_captions(generate::Generator& generator, const Arguments& arguments,
                    const comm::Communicator& world, const std::string& file) {
  generate::Request request = generator.default_request();
  request.sizes.clear();  // those are of the run's own prompts
  std::optional<Scorer> scorer;
  std::vector<Judged> judged;
  draw(generator, request, judged_captions, arguments, world,
       [&](generate::Picture& picture, std::uint64_t seed) {
         if (!scorer) scorer.emplace(real_pictures(picture.image.width));
         const Verdict verdict = scorer->judge(picture.image, subject_of(picture.prompt));
         judged.push_back({picture.prompt, seed, std::move(picture.image), verdict});
       });
  if (world.rank() != 0) return true;
  report(judged, arguments, file);
  return total(judged).reach_aims();
}

bool check_pairs(generate::Generator& generator, const Arguments& arguments, const comm::Communicator& world,
                 const std::string& file) {
  generate::Request request = generator.default_request();
  request.sizes = generator.sizes_of({1 / pair_shape}, request.resolution);
  std::optional<PairScorer> scorer;
  std::vector<JudgedPair> judged;
  draw(generator, request, judged_pairs, arguments, world,
       [&](generate::Picture& picture, std::uint64_t seed) {
         if (!scorer) scorer.emplace(RealPairs(picture.image.size()));
         const PairVerdict verdict = scorer->judge(picture.image, pair_of(picture.prompt));
         judged.push_back({picture.prompt, seed, std::move(picture.image), verdict});
       });
  if (world.rank() != 0) return true;
  report(judged, arguments, file);
  return total(judged).reach_aim();
}

ExitCode check_model(const Arguments& arguments, const comm::Communicator& world) {
  const Registry registry = Registry::with_installed_plugins();
  const std::filesystem::path file = checkpoint_file(arguments.checkpoint);
  generate::Generator generator(registry, file);
  const bool reached =
      (arguments.pairs ? check_pairs : check_captions)(generator, arguments, world, file.string());
  return arguments.gate && !reached ? ExitCode::error : ExitCode::done;
}

}  // namespace
}  // namespace tessera::quality

int main(int argc, char** argv) {
  using namespace tessera;
  const auto report = [](const Error& error, int) {
    std::fprintf(stderr, "quality_check: %s\n", error.what());
    std::fflush(stderr);
  };
  keep_freed_memory();
  try {
    const quality::Arguments arguments = quality::parse(argc, argv);
    if (arguments.help) {
      std::printf("%s", quality::usage_text);
      return 0;
    }
    if (arguments.self_test) {
      return static_cast<int>(arguments.pairs ? quality::check_scorer(quality::pair_self_test(), arguments)
                                              : quality::check_scorer(quality::self_test(), arguments));
    }
    const comm::Environment environment;
    return comm::guard(
        [&](const comm::Communicator& world) {
          const Runtime runtime;
          const ExitCode code = quality::check_model(arguments, world);
          // All ranks have to return the same code, and only rank 0 knows it.
          return world.agree(code == ExitCode::done) ? ExitCode::done : ExitCode::error;
        },
        report);
  } catch (const Error& error) {
    report(error, 0);
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "quality_check: %s\n", error.what());
    return 1;
  }
}
