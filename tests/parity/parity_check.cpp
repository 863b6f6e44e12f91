// parity_check FILE.h5... [--dtype f64|f32|bf16] [--tolerance X]
// Replays recorded runs of the official code and compares every output and gradient. Exit code 0 when all
// agree, 1 when one does not, 2 on wrong usage.

#include <cstdio>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "cases.hpp"
#include "compute/runtime.hpp"
#include "nn/routing_tape.hpp"

namespace tessera::parity {
namespace {

struct Arguments {
  std::vector<std::string> files;
  std::string precision = "f64";
  double tolerance = 0;  // 0: the precision's own
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  const auto usage = [](const std::string& what) {
    return Error(what, "parity_check", "parity_check FILE.h5... [--dtype f64|f32|bf16] [--tolerance X]",
                 ExitCode::usage);
  };
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--dtype" && has_value) {
      arguments.precision = argv[++i];
      if (arguments.precision != "f64" && arguments.precision != "f32" && arguments.precision != "bf16") {
        throw usage("unknown precision '" + arguments.precision + "'");
      }
    } else if (word == "--tolerance" && has_value) {
      std::size_t used = 0;
      const std::string number = argv[++i];
      try {
        arguments.tolerance = std::stod(number, &used);
      } catch (const std::exception&) {
        used = 0;
      }
      if (used != number.size() || !(arguments.tolerance > 0))
        throw usage("'" + number + "' is no tolerance");
    } else if (word.starts_with("--")) {
      throw usage("unknown option '" + word + "', or its value is missing");
    } else {
      arguments.files.push_back(word);
    }
  }
  if (arguments.files.empty()) throw usage("no file was named");
  return arguments;
}

Tolerances tolerances_of(const CaseKind& kind, const Arguments& arguments) {
  Tolerances tolerances = arguments.precision == "f64"   ? kind.f64
                          : arguments.precision == "f32" ? kind.f32
                                                         : kind.bf16;
  if (arguments.tolerance > 0) tolerances.output = tolerances.gradient = arguments.tolerance;
  return tolerances;
}

nn::Precision precision_of(const std::string& name) {
  if (name == "f64") return nn::Precision::named("float64");
  return nn::Precision::named(name == "f32" ? "float32" : "bfloat16");
}

void check_file(const std::string& path, const Arguments& arguments, const Registry& registry,
                Comparison& comparison) {
  Fixture fixture(path);
  for (const std::string& one_case : fixture.cases()) {
    fixture.select(one_case);
    ReferenceModel model = build_model(fixture, registry, precision_of(arguments.precision));
    const CaseKind& kind = case_kind(model.config.at("kind").get<std::string>(), path);
    comparison.set_tolerances(tolerances_of(kind, arguments));
    std::printf("== %s %s (%s)\n", path.c_str(), one_case.c_str(), arguments.precision.c_str());
    if (arguments.precision != "bf16") {
      kind.body(fixture, model, &comparison);
      continue;
    }
    // Rounding to bfloat16 flips routing decisions: both precisions follow the float64 routing.
    std::vector<Tensor> decisions;
    {
      ReferenceModel exact = build_model(fixture, registry, precision_of("f64"));
      const nn::RoutingTape recording;
      kind.body(fixture, exact, nullptr);
      decisions = recording.decisions();
    }
    const nn::RoutingTape replay(std::move(decisions));
    kind.body(fixture, model, &comparison);
  }
}

int run(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  const Registry registry = Registry::with_installed_plugins();
  Comparison comparison;
  for (const std::string& file : arguments.files) check_file(file, arguments, registry, comparison);
  comparison.print_summary();
  return comparison.passed() ? 0 : 1;
}

}  // namespace
}  // namespace tessera::parity

int main(int argc, char** argv) {
  try {
    const tessera::Runtime runtime;
    return tessera::parity::run(argc, argv);
  } catch (const tessera::Error& error) {
    std::fprintf(stderr, "parity_check: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "parity_check: %s\n", error.what());
    return 1;
  }
}
