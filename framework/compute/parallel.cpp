#include "compute/parallel.hpp"

#include <optional>

namespace tessera {
namespace {

thread_local std::optional<ExecutionSpace> current;

}  // namespace

const ExecutionSpace& current_execution_space() {
  if (!current.has_value()) current.emplace();
  return *current;
}

void set_current_execution_space(const ExecutionSpace& space) { current = space; }

void release_current_execution_space() { current.reset(); }

}  // namespace tessera
