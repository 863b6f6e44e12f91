// The entry point of every test program that runs under mpirun. Each rank runs all tests; rank 0 reports
// progress, the others speak only of failures. A rank that fails inside a collective leaves the others
// waiting: CTest's time limit ends such a run.
#include <gtest/gtest.h>

#include <cstdio>
#include <optional>

#include "base/error.hpp"
#include "comm/communicator.hpp"
#include "comm/environment.hpp"
#include "compute/runtime.hpp"

namespace {

class FailuresOnly : public testing::EmptyTestEventListener {
 public:
  explicit FailuresOnly(int rank) : rank_(rank) {}
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "rank %d: %s:%d: %s\n", rank_, result.file_name() ? result.file_name() : "?",
                 result.line_number(), result.summary());
  }

 private:
  int rank_;
};

}  // namespace

int main(int argc, char** argv) {
  const tessera::comm::Environment mpi;
  testing::InitGoogleTest(&argc, argv);
  const auto world = tessera::comm::Communicator::world();
  std::optional<tessera::Runtime> runtime;
  try {
    runtime.emplace();
  } catch (const tessera::Error& error) {
    std::fprintf(stderr, "rank %d skipped: %s\n", world.rank(), error.what());
    return 77;  // CTest's code for it, in builds for GPUs
  }
  if (world.rank() != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailuresOnly(world.rank()));
  }
  return RUN_ALL_TESTS();
}
