// Times one summation of a gradient arena over the ranks, per strategy, against a memcpy of the same bytes by
// the same ranks at the same time; of sharded training (every rank with a memory of its own) also the gather
// of the values, float32 or their bfloat16 copy, that follows the update. `held_*` are the MiB of gradients
// that a rank keeps. Run under mpirun with no more ranks than free cores:
//
//   mpirun -n 2 reduce_bench [MEBIBYTES...]
//
// Prints one JSON object: times in milliseconds, the least of several repetitions in turn, on the slowest
// rank.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "comm/bucket_gather.hpp"
#include "comm/common_gradients.hpp"
#include "comm/environment.hpp"
#include "comm/gradient_reducer.hpp"
#include "comm/job.hpp"
#include "comm/passed_gradients.hpp"
#include "comm/scattered_gradients.hpp"
#include "comm/sharding.hpp"
#include "compute/runtime.hpp"
#include "tensor/allocator.hpp"

namespace {

using namespace tessera;
using comm::Communicator;
using comm::Placement;
using comm::SharedArena;

double milliseconds(const Communicator& world, const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  world.barrier();
  const auto start = Clock::now();
  work();
  double elapsed = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  world.all_reduce(std::span(&elapsed, 1), comm::Reduction::max);
  return elapsed;
}

std::string measure(const Communicator& world, std::size_t mebibytes) {
  const std::size_t bytes = mebibytes << 20;
  const std::size_t count = bytes / sizeof(float);
  std::map<std::string, double> best;
  const auto note = [&](const std::string& name, double ms) {
    const auto [at, first] = best.try_emplace(name, ms);
    if (!first) at->second = std::min(at->second, ms);
  };

  std::unique_ptr<SharedArena> own;
  std::unique_ptr<SharedArena> once;
  note("make_private", milliseconds(world, [&] {
         own = std::make_unique<SharedArena>(world, bytes, Placement::private_memory);
       }));
  note("make_common",
       milliseconds(world, [&] { once = std::make_unique<SharedArena>(world, bytes, Placement::shared); }));
  note("first_touch_private", milliseconds(world, [&] { std::memset(own->data(), 0, own->bytes()); }));
  const std::vector<float> other(count);
  comm::GradientReducer reducer(world, *own, DType::f32, count);

  // A backward that does nothing but write its gradients, one parameter of 4 MiB after the other.
  std::vector<comm::Slice> parameters;
  for (std::size_t at = 0; at < count; at += std::size_t{1} << 20)
    parameters.push_back({at, std::min(at + (std::size_t{1} << 20), count)});
  std::vector<std::size_t> sizes;
  for (const comm::Slice p : parameters) sizes.push_back(p.size());
  comm::CommonGradients common(world, *once, DType::f32, count, parameters,
                               comm::deal_evenly(sizes, world.size()));
  const auto write = [&](float* gradient, std::size_t n) {
    std::fill(gradient, gradient + n, static_cast<float>(n % 7));
  };

  // Sharded: what travels between ranks is the same as between nodes of one rank.
  std::vector<std::size_t> starts;
  for (const comm::Slice p : parameters) starts.push_back(p.begin);
  const Communicator alone = world.alone();
  const auto sharding =
      std::make_shared<const comm::Sharding>(comm::Holders::of(world, alone), world.rank(), starts, count,
                                             count, comm::Sharding::default_bucket_bytes / sizeof(float));
  comm::ScatteredGradients scattered(world, alone, *own, DType::f32, sharding);
  std::vector<comm::Slice> held = sharding->my_parts();
  for (comm::Slice& part : held) part = {part.begin * sizeof(float), part.end * sizeof(float)};
  const SharedArena share(world, bytes, Placement::private_memory, held);
  comm::PassedGradients passed(world, alone, share, DType::f32, sharding, parameters);
  comm::BucketGather gather(world, alone, sharding);
  const Tensor copy = Tensor::zeros({static_cast<std::int64_t>(count)}, DType::bf16);
  const Tensor values =
      Tensor::wrap(own->data(), {static_cast<std::int64_t>(count)}, DType::f32, own->owner());
  best["held_buckets"] = best["held_scattered"] = static_cast<double>(own->held_bytes()) / (1 << 20);
  best["held_passed"] = static_cast<double>(share.held_bytes()) / (1 << 20);
  const auto gathered = [&](const Tensor& arena) {
    for (std::size_t bucket = 0; bucket < sharding->buckets().size(); ++bucket) {
      gather.start(bucket, {{arena, sharding->buckets()[bucket]}});
      gather.progress();
    }
    gather.wait();
  };

  for (int repetition = 0; repetition < 7; ++repetition) {
    note("memcpy", milliseconds(world, [&] { std::memcpy(own->data(), other.data(), bytes); }));
    note("write", milliseconds(world, [&] {
           for (const comm::Slice p : parameters) {
             write(reinterpret_cast<float*>(own->data()) + p.begin, p.size());
           }
         }));
    note("write_and_sum_buckets", milliseconds(world, [&] {
           for (const comm::Slice p : parameters) {
             write(reinterpret_cast<float*>(own->data()) + p.begin, p.size());
             reducer.ready_up_to(p.end);
           }
           reducer.finish();
           reducer.publish();
         }));
    note("write_and_sum_common", milliseconds(world, [&] {
           for (std::size_t i = 0; i < parameters.size(); ++i) {
             Tensor gradient = common.place(i);
             if (!gradient.defined()) {
               gradient = Tensor::empty({static_cast<std::int64_t>(parameters[i].size())}, DType::f32);
             }
             write(gradient.data<float>(), parameters[i].size());
             common.contribute(i, gradient);
           }
           common.finish();
           common.publish();
         }));
    note("write_and_sum_scattered", milliseconds(world, [&] {
           for (const comm::Slice p : parameters) {
             write(reinterpret_cast<float*>(own->data()) + p.begin, p.size());
             scattered.ready_up_to(p.end);
             scattered.progress();
           }
           scattered.finish();
           scattered.publish();
         }));
    note("write_and_sum_passed", milliseconds(world, [&] {
           for (std::size_t i = 0; i < parameters.size(); ++i) {
             const Tensor gradient =
                 Tensor::empty({static_cast<std::int64_t>(parameters[i].size())}, DType::f32);
             write(gradient.data<float>(), parameters[i].size());
             passed.contribute(i, gradient);
             passed.progress();
           }
           passed.finish();
           passed.publish();
         }));
    note("gather_float32", milliseconds(world, [&] { gathered(values); }));
    note("gather_bfloat16", milliseconds(world, [&] { gathered(copy); }));
    double norm = 0.0;
    note("sum_of_squares_buckets", milliseconds(world, [&] { norm += reducer.sum_of_squares(); }));
    note("sum_of_squares_common", milliseconds(world, [&] { norm += common.sum_of_squares(); }));
  }

  std::string json = "    {\"mebibytes\": " + std::to_string(mebibytes);
  for (const auto& [name, ms] : best) {
    char number[64];
    const char* unit = name.starts_with("held_") ? "mib" : "ms";
    std::snprintf(number, sizeof(number), ", \"%s_%s\": %.3f", name.c_str(), unit, ms);
    json += number;
  }
  return json + "}";
}

ExitCode run(const Communicator& world, const std::vector<std::size_t>& sizes) {
  std::string rows;
  for (const std::size_t size : sizes) rows += (rows.empty() ? "" : ",\n") + measure(world, size);
  if (world.rank() == 0) {
    std::printf(
        "{\n  \"benchmark\": \"gradient reduction\",\n  \"ranks\": %d,\n  \"results\": [\n%s\n  ]\n}\n",
        world.size(), rows.c_str());
  }
  return ExitCode::done;
}

}  // namespace

int main(int argc, char** argv) {
  const comm::Environment mpi;
  const Runtime runtime;
  keep_freed_memory();
  std::vector<std::size_t> sizes;
  for (int i = 1; i < argc; ++i) sizes.push_back(std::strtoul(argv[i], nullptr, 10));
  if (sizes.empty()) sizes = {4, 64, 256};
  return comm::guard([&](const Communicator& world) { return run(world, sizes); },
                     [](const Error& error, int rank) {
                       std::fprintf(stderr, "reduce_bench: rank %d: %s\n", rank, error.what());
                     });
}
