#pragma once
// Invariant: a sampler of the discrete process visits a subset of its steps, from the noisiest to the
// cleanest, and every update is one of the process of those steps alone (NoiseSchedule::respaced).

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "plugin/scaled_denoiser.hpp"

namespace tessera {

/// `counts[k]` steps from the k-th of equal parts of 0 .. range - 1, evenly and with both ends of the part,
/// rounded; ascending. One count: "N" of the published code; several: "a,b,c".
[[nodiscard]] std::vector<std::int64_t> even_steps(std::int64_t range,
                                                   const std::vector<std::int64_t>& counts);
/// 0, stride, 2 stride, ... : "ddimN" of the published code.
/// @throws Error when no whole stride gives `count` steps.
[[nodiscard]] std::vector<std::int64_t> strided_steps(std::int64_t range, std::int64_t count);

/// Which steps a sampler visits, from its settings.
class Respacing {
 public:
  /// Adds the settings steps, spacing and sections.
  static void describe(Schema& schema, std::int64_t default_steps);
  explicit Respacing(const Config& config);

  [[nodiscard]] int default_steps() const;
  /// @param steps  0 for the default
  /// @return steps from `first` to `last`, ascending
  [[nodiscard]] std::vector<std::int64_t> steps(int steps, std::int64_t first, std::int64_t last) const;

 private:
  std::int64_t steps_;
  bool strided_;
  std::vector<std::int64_t> sections_;
};

/// One update of a sampler of the discrete process.
struct ReverseUpdate {
  const NoiseSchedule& process;  ///< of the visited steps
  std::int64_t step;             ///< in that process; 0 is the last update
  const std::vector<double>& x;  ///< x_t
  const Denoised& denoised;
  int draw;  ///< the noise draw that belongs to this update
};

/// Runs the updates of a sampler. The state that the trace sees is x_t.
/// @param next  x_{t-1} of one update
[[nodiscard]] std::vector<double> run_discrete(
    Denoiser& denoiser, const NoiseSchedule& schedule, const Respacing& respacing, const NoiseSource& noise,
    int steps, const SamplerTrace& trace,
    const std::function<std::vector<double>(const ReverseUpdate& update)>& next);

}  // namespace tessera
