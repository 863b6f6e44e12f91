// The model of a step's time (launch/plan/step_time.hpp) against steps of ranks that reduce over MPI:
//   for n in 1 2 4; do mpirun -n $n step_bench [--mebibytes 64] [--layers 16] [--compute_ms 400]; done
// Each rank is a node of the model. Latency and bandwidth are measured with reductions of other sizes than
// the steps have; compute is arithmetic in registers for so many milliseconds a step, a third of it forward,
// with the gradients of one layer after the other ready in backward. Needs as many idle cores as ranks.
// Prints one JSON object; `overlap_none_ms` is what a step would take if nothing overlapped.
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "comm/environment.hpp"
#include "comm/gradient_reducer.hpp"
#include "comm/job.hpp"
#include "compute/runtime.hpp"
#include "launch/plan/step_time.hpp"

namespace {

using namespace tessera;
using comm::Communicator;
using Clock = std::chrono::steady_clock;
using Options = std::map<std::string, std::string>;

/// Median over repetitions of the slowest rank's time, seconds.
double median_seconds(const Communicator& world, int repetitions, const std::function<void()>& work) {
  std::vector<double> all;
  for (int i = 0; i < repetitions; ++i) {
    world.barrier();
    const auto start = Clock::now();
    work();
    double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    world.all_reduce(std::span(&elapsed, 1), comm::Reduction::max);
    all.push_back(elapsed);
  }
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

float sink = 0;

void multiply_add(double operations) {
  std::array<float, 64> values{};
  for (double done = 0; done < operations; done += 2 * 64 * 64) {
    for (int i = 0; i < 64; ++i) {
      for (float& value : values) value = value * 0.999F + 0.5F;
    }
  }
  sink += values[7];
}

/// Of all gradients at once, seconds.
double reduction_seconds(const Communicator& world, std::size_t bytes) {
  const comm::SharedArena arena(world, bytes, comm::Placement::private_memory);
  comm::GradientReducer reducer(world, arena, DType::f32, bytes / sizeof(float),
                                {.shared_parameters = false});
  return median_seconds(world, 7, [&] {
    reducer.finish();
    reducer.publish();
  });
}

ExitCode run(const Communicator& world, const Options& options) {
  const std::size_t bytes = std::stoul(options.at("--mebibytes")) << 20;
  const std::size_t layers = std::stoul(options.at("--layers"));
  const double wanted = std::stod(options.at("--compute_ms")) / 1e3;
  const auto ranks = static_cast<double>(world.size());
  const int rounds = std::bit_width(static_cast<unsigned>(world.size() - 1));

  launch::MachineRates rates{.memory = 1e30, .node_bandwidth = 1e30, .network_bandwidth = 1e30};
  if (world.size() > 1) {
    float value = 0;
    rates.network_latency =
        median_seconds(world, 201, [&] { world.all_reduce(std::span(&value, 1)); }) / rounds;
    const std::size_t other = bytes / 2;
    const double latency = static_cast<double>((other + comm::piece_bytes - 1) / comm::piece_bytes) * 2 *
                           rounds * rates.network_latency;
    rates.network_bandwidth = 2 * (ranks - 1) / ranks * static_cast<double>(other) /
                              std::max(reduction_seconds(world, other) - latency, 1e-9);
  }
  constexpr double trial = 2e8;
  rates.flops = trial / median_seconds(world, 7, [&] { multiply_add(trial); });

  launch::StepWork work{.training_flops = rates.flops * wanted,
                        .batch = world.size(),
                        .parameters = static_cast<double>(bytes / sizeof(float)),
                        .bucket_bytes = static_cast<double>(bytes / layers)};
  const launch::StepTime predicted = launch::step_time(work, rates, world.size(), 1);

  const comm::SharedArena arena(world, bytes, comm::Placement::private_memory);
  const std::size_t elements = bytes / sizeof(float);
  comm::GradientReducer reducer(world, arena, DType::f32, elements,
                                {.bucket_bytes = bytes / layers, .shared_parameters = false});
  const double measured = median_seconds(world, 9, [&] {
    multiply_add(work.training_flops / 3);
    for (std::size_t layer = 1; layer <= layers; ++layer) {
      constexpr int slices = 16;  // backward lets MPI work between operations
      for (int i = 0; i < slices; ++i) {
        multiply_add(work.training_flops * 2 / 3 / static_cast<double>(layers * slices));
        reducer.progress();
      }
      reducer.ready_up_to(elements * layer / layers);
    }
    reducer.finish();
    reducer.publish();
  });
  if (world.rank() == 0) {
    std::printf(
        "{\"benchmark\": \"step time\", \"ranks\": %d, \"gradient_mib\": %zu, \"latency_us\": %.2f, "
        "\"bandwidth_gb_s\": %.3f, \"compute_ms\": %.2f, \"reduction_ms\": %.2f, \"seen_ms\": %.2f, "
        "\"predicted_ms\": %.2f, \"measured_ms\": %.2f, \"overlap_none_ms\": %.2f}\n",
        world.size(), bytes >> 20, 1e6 * rates.network_latency, rates.network_bandwidth / 1e9,
        1e3 * predicted.compute, 1e3 * predicted.reduction, 1e3 * predicted.exposed_reduction,
        1e3 * predicted.total(), 1e3 * measured, 1e3 * (predicted.compute + predicted.reduction));
  }
  return ExitCode::done;
}

}  // namespace

int main(int argc, char** argv) {
  const comm::Environment mpi;
  const Runtime runtime;
  Options options{{"--mebibytes", "64"}, {"--layers", "16"}, {"--compute_ms", "400"}};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (options.count(argv[i]) == 0) {
      std::fprintf(stderr, "step_bench: unknown option %s\n", argv[i]);
      return 2;
    }
    options[argv[i]] = argv[i + 1];
  }
  return comm::guard([&](const Communicator& world) { return run(world, options); },
                     [](const Error& error, int rank) {
                       std::fprintf(stderr, "step_bench: rank %d: %s\n", rank, error.what());
                     });
}
