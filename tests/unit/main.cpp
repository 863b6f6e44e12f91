// The entry point of every unit test program: the runtime lives as long as the tests do.
#include <gtest/gtest.h>

#include <cstdio>
#include <optional>

#include "base/error.hpp"
#include "compute/runtime.hpp"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::optional<tessera::Runtime> runtime;
  try {
    runtime.emplace();
  } catch (const tessera::Error& error) {
    std::fprintf(stderr, "skipped: %s\n", error.what());
    return 77;  // CTest's code for it, in builds for GPUs
  }
  return RUN_ALL_TESTS();
}
