#pragma once
// Invariant: the network always sees inputs and targets of unit variance (Karras et al. 2022, table 1 and
// appendix B.6), so weight * c_out^2 = 1.

#include <cmath>

#include "base/device_function.hpp"

namespace tessera::edm {

/// D(z; sigma) = c_skip z + c_out F(c_in z; c_noise).
template <class T>
struct Coefficients {
  T skip, out, in, noise, weight;
};

template <class T>
TESSERA_INLINE_FUNCTION Coefficients<T> coefficients(T sigma, T sigma_data) {
  const T variance = sigma * sigma + sigma_data * sigma_data;
  const T root = std::sqrt(variance);
  const T product = sigma * sigma_data;
  return {sigma_data * sigma_data / variance, product / root, T(1) / root, std::log(sigma) / T(4),
          variance / (product * product)};
}

/// The nearest float32, through memory: `(float)(a * b) + c` rounds twice on paper, but a compiler that may
/// fuse (g++ does unless told) narrows both operations to float32, fuses them and rounds once.
inline double stored_float(double value) {
  const volatile float stored = static_cast<float>(value);
  return stored;
}

/// The coefficients bit for bit as PyTorch's float32 arithmetic gives them, `sigma` being a float32 value:
/// every operation is exact or correctly rounded in float64 and then rounded to float32. A number over a
/// tensor is there the reciprocal times the number. Near the end of sampling the sampler divides x - D by a
/// small sigma, so a unit in the last place of c_skip shows in the picture's last digits.
inline Coefficients<double> float32_coefficients(double sigma, double sigma_data) {
  const double data = stored_float(sigma_data);
  const double data_variance = stored_float(sigma_data * sigma_data);
  const double variance = stored_float(stored_float(sigma * sigma) + data_variance);
  const double root = stored_float(std::sqrt(variance));
  const double product = stored_float(sigma * data);
  return {stored_float(stored_float(1.0 / variance) * data_variance), stored_float(product / root),
          stored_float(1.0 / root), stored_float(stored_float(std::log(sigma)) / 4.0),
          stored_float(variance / stored_float(product * product))};
}

}  // namespace tessera::edm
