#include "nn/initializer.hpp"

#include <cmath>
#include <vector>

#include "base/hash.hpp"
#include "base/random.hpp"

namespace tessera::nn {

Initializer Initializer::xavier_uniform(std::int64_t fan_in, std::int64_t fan_out) {
  return uniform(std::sqrt(6.0 / static_cast<double>(fan_in + fan_out)));
}

Initializer Initializer::for_matrix(std::int64_t fan_in, std::int64_t fan_out) const {
  return kind == Kind::xavier_uniform ? xavier_uniform(fan_in, fan_out) : *this;
}

void initialize(const Initializer& initializer, std::uint64_t seed, const std::string& name,
                const Tensor& tensor) {
  if (tensor.is_meta()) return;
  const RandomStream stream(RandomKey{.seed = seed, .purpose = Purpose::init});
  const std::uint64_t position = hash_text(name);
  const auto count = static_cast<std::size_t>(tensor.numel());
  std::vector<float> values(count, static_cast<float>(initializer.value));
  const auto scale = static_cast<float>(initializer.value);
  switch (initializer.kind) {
    case Initializer::Kind::constant:
      break;
    case Initializer::Kind::normal:
      fill_normal(stream, position, 0, values.data(), count);
      for (float& value : values) value *= scale;
      break;
    case Initializer::Kind::uniform:
      for (std::size_t i = 0; i < count; ++i)
        values[i] = scale * (2.0F * uniform01(stream, position, i) - 1.0F);
      break;
    case Initializer::Kind::xavier_uniform:
      throw Error(
          "an initial value that depends on the fans of a matrix was given to a parameter that has none",
          name, "resolve it with for_matrix() where the parameter is declared");
  }
  if (tensor.dtype() == DType::f64) {
    const std::vector<double> wide(values.begin(), values.end());
    tensor.copy_from_host(wide.data());
  } else if (tensor.dtype() == DType::f32) {
    tensor.copy_from_host(values.data());
  } else {
    throw Error(std::string("parameters are float32 or float64, not ") + name_of(tensor.dtype()), name);
  }
}

}  // namespace tessera::nn
