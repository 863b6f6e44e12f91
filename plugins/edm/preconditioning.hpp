#pragma once
// Invariant: the network always sees inputs and targets of unit variance (Karras et al. 2022, table 1 and
// appendix B.6), so weight * c_out^2 = 1.

#include <Kokkos_Core.hpp>
#include <cmath>

namespace tessera::edm {

/// D(z; sigma) = c_skip z + c_out F(c_in z; c_noise).
template <class T>
struct Coefficients {
  T skip, out, in, noise, weight;
};

template <class T>
KOKKOS_INLINE_FUNCTION Coefficients<T> coefficients(T sigma, T sigma_data) {
  const T variance = sigma * sigma + sigma_data * sigma_data;
  const T root = std::sqrt(variance);
  const T product = sigma * sigma_data;
  return {sigma_data * sigma_data / variance, product / root, T(1) / root, std::log(sigma) / T(4),
          variance / (product * product)};
}

}  // namespace tessera::edm
