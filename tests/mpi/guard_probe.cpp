// A program that ends in the way its argument names; guard_test.sh looks at the exit code, the time and the
// words that reach the terminal.
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "comm/environment.hpp"
#include "comm/job.hpp"

namespace {

using namespace tessera;

ExitCode body(const comm::Communicator& world, const std::string& way) {
  const bool last = world.rank() == world.size() - 1;
  if (way == "done") return ExitCode::done;
  if (way == "resume-later") return ExitCode::resume_later;
  if (way == "disagree") return last ? ExitCode::done : ExitCode::resume_later;
  if (way == "all-usage") throw Error("no such key", "probe.toml:3", "Remove it.", ExitCode::usage);
  if (way == "one-in-collective") {
    if (last) throw Error("shard 7 is truncated", "probe", "Build it again.");
    world.barrier();
  }
  if (way == "one-while-others-compute") {
    if (last) throw std::runtime_error("not an Error of ours");
    std::signal(SIGTERM, SIG_IGN);
    const volatile bool others_compute = true;
    while (others_compute) {
    }
  }
  if (way == "one-with-a-reduction-in-flight") {
    std::vector<double> values(1 << 20, 1.0);
    auto pending = world.start_all_reduce_sum(std::span(values));
    pending.test();
    if (last) throw Error("a NaN in the latents", "probe", "Check the shard.");
    pending.wait();
  }
  if (way == "together") {
    world.together([&] {
      if (world.rank() == world.size() / 2) throw Error("only this rank saw it", "probe", "Look.");
    });
  }
  return ExitCode::done;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string way = argc > 1 ? argv[1] : "done";
  const comm::Environment mpi;
  return comm::guard(
      [&](const comm::Communicator& world) { return body(world, way); },
      [](const Error& error, int rank) { std::fprintf(stderr, "probe: rank %d: %s\n", rank, error.what()); });
}
