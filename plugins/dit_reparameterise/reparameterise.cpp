#include "reparameterise.hpp"

#include <cmath>

#include "base/error.hpp"
#include "ops/sinusoid.hpp"

namespace tessera {
namespace {

std::vector<double> silu(std::vector<double> x) {
  for (double& value : x) value /= 1.0 + std::exp(-value);
  return x;
}

/// weight [n, x.size()] x + bias [n].
std::vector<double> linear(const std::vector<double>& weight, const std::vector<double>& bias,
                           const std::vector<double>& x) {
  std::vector<double> y = bias;
  for (std::size_t row = 0; row < y.size(); ++row) {
    for (std::size_t i = 0; i < x.size(); ++i) y[row] += weight[row * x.size() + i] * x[i];
  }
  return y;
}

}  // namespace

const std::vector<std::string>& noise_weights() {
  static const std::vector<std::string> names{"t_embedder.mlp.0.weight", "t_embedder.mlp.0.bias",
                                              "t_embedder.mlp.2.weight", "t_embedder.mlp.2.bias"};
  return names;
}

ModulationAt::ModulationAt(double timestep, const Shape& noise, const Shape& map)
    : timestep_(timestep),
      width_(static_cast<std::size_t>(noise[0])),
      frequencies_(static_cast<std::size_t>(noise[1])) {
  if (map[0] != 6 * noise[0] || map[1] != noise[0]) {
    throw Error("a modulation map of shape " + map.to_string() +
                " does not suit a noise embedding of width " + std::to_string(noise[0]));
  }
}

std::vector<double> ModulationAt::noise_embedding(const HostTensors& sources) const {
  const Tensor level = Tensor::from_host(std::vector<double>{timestep_}, {1});
  const std::vector<double> features =
      ops::sinusoid(level, static_cast<std::int64_t>(frequencies_), DType::f64).to_host<double>();
  return linear(sources[2], sources[3], silu(linear(sources[0], sources[1], features)));
}

std::vector<double> ModulationAt::block_table(const HostTensors& sources) const {
  const std::vector<double> activated = silu(noise_embedding(sources));
  std::vector<double> table = linear(sources[4], sources[5], activated);
  const std::vector<double> first = linear(sources[6], sources[7], activated);
  for (std::size_t i = 0; i < table.size(); ++i) table[i] -= first[i];
  return table;
}

std::vector<double> ModulationAt::final_table(const HostTensors& sources) const {
  const std::vector<double> t = noise_embedding(sources);
  std::vector<double> table = linear(sources[4], sources[5], silu(t));
  for (std::size_t i = 0; i < table.size(); ++i) table[i] -= t[i % width_];
  return table;
}

}  // namespace tessera
