#pragma once
// Invariant: one element's term of the variational bound in nats, and its derivative with respect to the
// log-variance, without cancellation where the term is a probability.

#include "base/device_function.hpp"
#include "compute/math.hpp"

namespace tessera::ops {

template <class A>
struct BoundTerm {
  A value;
  A slope;  ///< with respect to the log-variance
};

/// KL of normals whose means differ by `distance`: N(0, e^low) || N(distance, e^log_variance).
template <class A>
TESSERA_INLINE_FUNCTION BoundTerm<A> kl_term(A distance, A low, A log_variance) {
  const A wider = log_variance - low;
  const A ratio = math::exp(-wider);
  const A offset = distance * distance * math::exp(-log_variance);
  return {A(0.5) * (wider - A(1) + ratio + offset), A(0.5) * (A(1) - ratio - offset)};
}

/// ln of the logistic function.
TESSERA_INLINE_FUNCTION double log_logistic(double x) {
  return (x < 0 ? x : 0.0) - ::log1p(::exp(x < 0 ? x : -x));
}

/// -ln of the probability of the bin clean +- 1/255 under N(clean - distance, e^log_variance).
TESSERA_INLINE_FUNCTION BoundTerm<double> bin_term(double distance, double clean, double log_variance) {
  constexpr double half_bin = 1.0 / 255.0;
  constexpr double edge = 0.999;
  constexpr double log_least = -27.631021115928547;  // ln 1e-12
  // (1 + tanh(u))/2 with u = sqrt(2/pi) (z + 0.044715 z^3) is the logistic function of 2u.
  constexpr double factor = 2 * 0.79788456080286535588;
  constexpr double cubic = 0.044715;
  const double scale = ::exp(-0.5 * log_variance);
  const double upper = scale * (distance + half_bin);
  const double lower = scale * (distance - half_bin);
  const double a = factor * upper * (1 + cubic * upper * upper);
  const double b = factor * lower * (1 + cubic * lower * lower);
  // d z / d log_variance = -z / 2
  const double da = -0.5 * factor * upper * (1 + 3 * cubic * upper * upper);
  const double db = -0.5 * factor * lower * (1 + 3 * cubic * lower * lower);
  double log_probability;
  double slope;
  if (clean < -edge) {
    log_probability = log_logistic(a);
    slope = math::logistic(-a).value * da;
  } else if (clean > edge) {
    log_probability = log_logistic(-b);
    slope = -math::logistic(b).value * db;
  } else {
    // s(a) - s(b) = s(a) s(-b) (1 - e^(b - a)); the difference of a and b is a multiple of the bin's width.
    const double width =
        factor * (upper - lower) * (1 + cubic * (upper * upper + upper * lower + lower * lower));
    const double outside = ::expm1(width);  // e^(a - b) - 1
    log_probability = log_logistic(a) + log_logistic(-b) + ::log(-::expm1(-width));
    slope = math::logistic(-a).value * da - math::logistic(b).value * db + (da - db) / outside;
  }
  if (log_probability < log_least) return {-log_least, 0.0};
  return {-log_probability, -slope};
}

}  // namespace tessera::ops
