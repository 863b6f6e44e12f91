#pragma once
// Slot "sampler": integrates the reverse process with any objective's denoiser.

#include <functional>
#include <vector>

#include "plugin/slots/objective.hpp"

namespace tessera {

/// Standard normals of the denoiser's shape: draw 0 starts the process, later ones are for samplers that add
/// noise on the way. A draw's numbers do not depend on which others were asked for.
using NoiseSource = std::function<std::vector<double>(int draw)>;

/// Watches a sampler; every member may be empty. A call's input is x0 + sigma noise, what the denoiser saw. A
/// state is in the coordinates in which the sampler was published: x0 + sigma noise for EDM's,
/// x_t = alpha x0 + sqrt(1 - alpha^2) noise for those of variance-preserving processes.
struct SamplerTrace {
  std::function<void(int step, int steps, const std::vector<double>& state)> after_step;
  std::function<void(double sigma, const std::vector<double>& input, const std::vector<double>& denoised)>
      after_call;
};

class Sampler {
 public:
  static constexpr const char* slot_name = "sampler";
  struct Spec {};
  virtual ~Sampler() = default;

  /// @param steps  0 for the sampler's own default
  /// @return the final latents
  [[nodiscard]] virtual std::vector<double> sample(Denoiser& denoiser, const NoiseSource& noise, int steps,
                                                   const SamplerTrace& trace) const = 0;
  [[nodiscard]] virtual int default_steps() const = 0;
};

}  // namespace tessera
