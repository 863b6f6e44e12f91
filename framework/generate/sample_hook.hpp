#pragma once
// Invariant: samples during training are those that `tessera sample` would draw from the same weights.

#include "io/image.hpp"
#include "train/trainer.hpp"

namespace tessera::generate {

/// The grid of the run's sample prompts, for train::Hooks::sample. Collective.
[[nodiscard]] io::Image sample_grid(const train::SampleRequest& request);

}  // namespace tessera::generate
