#pragma once
// Invariant: samplers of the variance-preserving process work on x_t = alpha x0 + deviation n; here, and
// nowhere else, that is turned into the x_t / alpha = x0 + sigma n that a Denoiser reads.

#include <vector>

#include "plugin/noise_schedule.hpp"
#include "plugin/slots/sampler.hpp"

namespace tessera {

/// A denoiser under a variance-preserving sampler. Reports every call to the trace.
class ScaledDenoiser {
 public:
  /// @throws Error when the denoiser's range of noise levels and the schedule's have nothing in common.
  ScaledDenoiser(Denoiser& denoiser, const NoiseSchedule& schedule, const SamplerTrace& trace);

  /// What the denoiser makes of x_t = x at a level.
  [[nodiscard]] Denoised denoise(const std::vector<double>& x, const NoiseLevel& level) const;

  /// The part of the schedule that lies in the denoiser's range.
  [[nodiscard]] double first_time() const { return first_; }
  [[nodiscard]] double last_time() const { return last_; }
  /// `steps` + 1 levels, equally spaced in time, from the last time to the first.
  /// @throws Error when there is no step.
  [[nodiscard]] std::vector<NoiseLevel> uniform_levels(int steps) const;

 private:
  Denoiser& denoiser_;
  const NoiseSchedule& schedule_;
  const SamplerTrace& trace_;
  double first_;
  double last_;
};

}  // namespace tessera
