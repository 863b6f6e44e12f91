#pragma once
// Invariant: every check measures pictures, never weights or losses.

#include "launch/command.hpp"

namespace tessera::quality {

[[nodiscard]] launch::Command control_check();
[[nodiscard]] launch::Command subject_check();
[[nodiscard]] launch::Command self_test_check();

}  // namespace tessera::quality
