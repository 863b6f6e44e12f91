#pragma once
// Invariant: the initial value of a parameter depends on the seed, the parameter's name and the element's
// index only: not on the order of construction, the number of ranks or the other parameters.

#include <cstdint>
#include <string>

#include "tensor/tensor.hpp"

namespace tessera::nn {

struct Initializer {
  enum class Kind { constant, normal, uniform, xavier_uniform };
  Kind kind = Kind::constant;
  double value = 0;  ///< the constant, the standard deviation, or the bound of U(-value, value)

  static Initializer constant(double value) { return {Kind::constant, value}; }
  static Initializer normal(double deviation) { return {Kind::normal, deviation}; }
  static Initializer uniform(double bound) { return {Kind::uniform, bound}; }
  /// Uniform with the bound sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
  static Initializer xavier_uniform(std::int64_t fan_in, std::int64_t fan_out);
  /// The same for a matrix whose shape only its owner knows.
  static Initializer xavier_uniform() { return {Kind::xavier_uniform, 0}; }
  /// What this means for a matrix; its owner asks.
  [[nodiscard]] Initializer for_matrix(std::int64_t fan_in, std::int64_t fan_out) const;
};

/// Fills `tensor` (float32 or float64) with the initial values of the parameter called `name`.
/// @throws Error on another type, and when the initialiser still waits for the matrix's fans.
void initialize(const Initializer& initializer, std::uint64_t seed, const std::string& name,
                const Tensor& tensor);

}  // namespace tessera::nn
