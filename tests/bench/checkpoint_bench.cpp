// What a checkpoint costs: its file against plain writes of the same bytes, and the time that it takes away
// from training, written at once or while training goes on. Training is a loop of matrix products and one
// small reduction per step, on every rank. Run under mpirun with no more ranks than free cores:
//
//   mpirun -n 2 checkpoint_bench FOLDER [MEBIBYTES...]
//
// FOLDER is on the disk in question. Prints one JSON object: times in milliseconds, the least and the median
// of several repetitions in turn, on the slowest rank. plain_write: rank 0 alone, write() of 1 MiB after the
// other, sync apart. start: until training goes on; whole: until all know that the file is complete; cost: by
// how much a loop of training with one checkpoint takes longer than one without.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/pending_save.hpp"
#include "comm/environment.hpp"
#include "comm/job.hpp"
#include "comm/shared_arena.hpp"
#include "compute/matmul.hpp"
#include "compute/runtime.hpp"
#include "nn/layers.hpp"
#include "tensor/allocator.hpp"

namespace {

using namespace tessera;
using checkpoint::PendingSave;
using checkpoint::Writing;
using comm::Communicator;

constexpr int repetitions = 5;

double milliseconds(const Communicator& world, const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  world.barrier();
  const auto start = Clock::now();
  work();
  double elapsed = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  world.all_reduce(std::span(&elapsed, 1), comm::Reduction::max);
  return elapsed;
}

/// Layers of 1024 x 1024, 4 MiB each.
class Layers : public nn::Module {
 public:
  explicit Layers(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      layers_.push_back(std::make_unique<nn::Linear>(1024, 1024, false, nn::Initializer::normal(1)));
      add_child("blocks." + std::to_string(i), *layers_.back());
    }
  }

 private:
  std::vector<std::unique_ptr<nn::Linear>> layers_;
};

class Bench {
 public:
  Bench(const Communicator& world, std::string folder, std::size_t mebibytes)
      : world_(world),
        file_(std::move(folder) + "/checkpoint_bench.h5"),
        model_(mebibytes / 12),
        store_(model_) {
    const bool shared = world.size() > 1 && comm::SharedArena::supported(world);
    const auto arena = [&](std::int64_t elements, DType type) {
      const comm::SharedArena memory(world, static_cast<std::size_t>(elements) * size_of(type),
                                     shared ? comm::Placement::shared : comm::Placement::private_memory);
      return Tensor::wrap(memory.data(), {elements}, type, memory.owner());
    };
    store_.materialise(
        nn::Precision::named("float32"),
        [&](const std::string&, std::int64_t n, DType type) { return arena(n, type); },
        nn::GradientFlow::none);
    if (!shared || world.rank() == 0) store_.initialize(3);
    world.barrier();
    for (const char* name : {"model", "first_moment", "second_moment"}) {
      arenas_.push_back({name, name == std::string("model") ? store_.values()
                                                            : arena(store_.arena_elements(), DType::f32)});
      if (!shared || world.rank() == 0) arenas_.back().arena.copy_from(store_.values());
    }
    for (Tensor* tensor : {&a_, &b_, &c_}) {
      *tensor = Tensor::zeros({512, 512}, DType::f32);
    }
    state_.config = "[run]\n";
    state_.precision = "float32";
  }
  ~Bench() {
    world_.barrier();
    if (world_.rank() == 0) std::filesystem::remove(file_);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  std::string measure() {
    // Long enough for a checkpoint to be complete within it.
    int steps = 20;
    const double at_least = 4 * milliseconds(world_, [&] { save(Writing::at_once); });
    while (milliseconds(world_, [&] { train(steps, {}); }) < at_least) steps *= 2;
    for (int i = 0; i < repetitions; ++i) {
      note("plain_write", milliseconds(world_, [&] { plain_write(false); }));
      note("plain_write_and_sync", milliseconds(world_, [&] { plain_write(true); }));
      note("at_once_whole", milliseconds(world_, [&] { save(Writing::at_once); }));
      std::unique_ptr<PendingSave> pending;
      note("overlapped_start", milliseconds(world_, [&] { pending = start(Writing::overlapped); }));
      pending->finish();
      note("overlapped_whole", milliseconds(world_, [&] { save(Writing::overlapped); }));
      const double without = milliseconds(world_, [&] { train(steps, {}); });
      note("training", without);
      note("at_once_cost", milliseconds(world_, [&] { train(steps, Writing::at_once); }) - without);
      note("overlapped_cost", milliseconds(world_, [&] { train(steps, Writing::overlapped); }) - without);
    }
    std::string json = "    {\"mebibytes\": " + std::to_string(bytes() >> 20);
    for (auto& [name, all] : times_) {
      std::ranges::sort(all);
      char numbers[120];
      std::snprintf(numbers, sizeof(numbers), ",\n     \"%s_ms\": [%.1f, %.1f]", name.c_str(), all.front(),
                    all[all.size() / 2]);
      json += numbers;
    }
    return json + "}";
  }

 private:
  [[nodiscard]] std::size_t bytes() const { return arenas_.size() * store_.values().bytes(); }
  void note(const std::string& name, double ms) { times_[name].push_back(ms); }
  std::unique_ptr<PendingSave> start(Writing writing) {
    return std::make_unique<PendingSave>(file_, state_, store_, arenas_, world_,
                                         checkpoint::SaveOptions{.writing = writing});
  }
  void save(Writing writing) { start(writing)->finish(); }

  void plain_write(bool sync) const {
    if (world_.rank() != 0) return;
    const std::string path = file_ + ".plain";
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool good = file >= 0;
    constexpr std::size_t piece = std::size_t{1} << 20;
    for (const checkpoint::NamedArena& arena : arenas_) {
      const char* from = static_cast<const char*>(arena.arena.raw());
      for (std::size_t done = 0; good && done < arena.arena.bytes(); done += piece) {
        const std::size_t size = std::min(piece, arena.arena.bytes() - done);
        good = ::write(file, from + done, size) == static_cast<ssize_t>(size);
      }
    }
    if (sync) good = good && ::fsync(file) == 0;
    ::close(file);
    ::unlink(path.c_str());
    if (!good) throw Error("the plain file cannot be written", path, "Name a folder with room.");
  }

  /// As the loop of training does it: one step of a save whenever all ranks are ready for it.
  void train(int steps, std::optional<Writing> writing) {
    std::unique_ptr<PendingSave> pending;
    for (int step = 0; step < steps; ++step) {
      if (step == 1 && writing) pending = start(*writing);
      if (pending && *writing == Writing::at_once) pending->finish();
      for (int product = 0; product < 8; ++product) {
        compute::matmul(compute::as_matrix(a_), compute::Transpose::no, compute::as_matrix(b_),
                        compute::Transpose::no, compute::as_matrix(c_), 1, false);
      }
      double waiting = pending && !pending->ready() ? 1 : 0;
      world_.all_reduce(std::span(&waiting, 1));
      if (pending && waiting == 0 && pending->advance()) pending.reset();
    }
    if (pending) pending->finish();
  }

  Communicator world_;
  std::string file_;
  Layers model_;
  nn::ParameterStore store_;
  std::vector<checkpoint::NamedArena> arenas_;
  checkpoint::RunState state_;
  Tensor a_, b_, c_;
  std::map<std::string, std::vector<double>> times_;
};

ExitCode run(const Communicator& world, const std::string& folder, const std::vector<std::size_t>& sizes) {
  std::string rows;
  for (const std::size_t size : sizes) {
    rows += (rows.empty() ? "" : ",\n") + Bench(world, folder, size).measure();
  }
  if (world.rank() == 0) {
    std::printf("{\n  \"benchmark\": \"checkpoints\",\n  \"ranks\": %d,\n  \"results\": [\n%s\n  ]\n}\n",
                world.size(), rows.c_str());
  }
  return ExitCode::done;
}

}  // namespace

int main(int argc, char** argv) {
  const comm::Environment mpi;
  const Runtime runtime;
  keep_freed_memory();
  compute::set_matmul_threads(1);
  const std::string folder = argc > 1 ? argv[1] : ".";
  std::vector<std::size_t> sizes;
  for (int i = 2; i < argc; ++i) sizes.push_back(std::strtoul(argv[i], nullptr, 10));
  if (sizes.empty()) sizes = {48, 480};
  return comm::guard([&](const Communicator& world) { return run(world, folder, sizes); },
                     [](const Error& error, int rank) {
                       std::fprintf(stderr, "checkpoint_bench: rank %d: %s\n", rank, error.what());
                     });
}
