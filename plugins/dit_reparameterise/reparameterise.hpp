#pragma once
// Invariant: everything is computed in float64 on the host, from the values of the DiT alone.

#include <string>
#include <vector>

#include "tensor/shape.hpp"

namespace tessera {

using HostTensors = std::vector<std::vector<double>>;  // row-major values

/// The parameters of the noise embedding's MLP: first weight and bias, second weight and bias.
[[nodiscard]] const std::vector<std::string>& noise_weights();

/// The modulation of a DiT without its class at one noise level, f_i(SiLU(t)), with t the noise embedding.
class ModulationAt {
 public:
  /// @param noise  shape of the noise embedding's first weight, [width, frequencies].
  /// @param map    shape of a block's modulation weight, [6 width, width].
  ModulationAt(double timestep, const Shape& noise, const Shape& map);

  /// f_i(SiLU(t)) - f_0(SiLU(t)), [6, width]. @param sources  noise_weights(), then weight and bias of f_i
  /// and of f_0.
  [[nodiscard]] std::vector<double> block_table(const HostTensors& sources) const;
  /// f(SiLU(t)) - t, per row (shift, scale), [2, width]. @param sources  noise_weights(), then weight and
  /// bias of the final layer's map.
  [[nodiscard]] std::vector<double> final_table(const HostTensors& sources) const;

 private:
  [[nodiscard]] std::vector<double> noise_embedding(const HostTensors& sources) const;

  double timestep_;
  std::size_t width_, frequencies_;
};

}  // namespace tessera
