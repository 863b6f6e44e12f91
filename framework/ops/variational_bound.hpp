#pragma once
// Invariant: only the predicted variance is trained here; the predicted noise is a constant.

#include "ops/graph.hpp"

namespace tessera::ops {

/// Constants of the reverse step at each image's time; [batch] each, float32 or float64.
struct ReverseSteps {
  Tensor mean_distance;      ///< of the step's mean, per unit error of the predicted noise
  Tensor log_variance_low;   ///< what v = -1 stands for: the posterior's
  Tensor log_variance_high;  ///< what v = 1 stands for: ln(beta)
  Tensor is_last;            ///< 1 at step 0, whose result is the picture itself, else 0
};

/// loss[b] = weight[b] * the mean over the image's elements of the step's term of the variational bound, in
/// bits, [batch] in at least float32; `removed` and `patch` as in squared_error. The variance lies between
/// two bounds by f = (v + 1)/2: ln(variance) = f high + (1 - f) low (Nichol and Dhariwal 2021, eq. 15). The
/// term is KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)); at the last step it is -ln p(x_0 | x_1) of x_0 in
/// bins of x_0 +- 1/255, as for pictures in [-1, 1], the outermost bins open, with a tanh in the place of the
/// normal distribution function and probabilities of at least 1e-12 (the published code's; Ho et al. 2020,
/// eq. 13). v, epsilon, noise, clean [batch, channels, height, width]: predicted variance and noise, true
/// noise, x_0.
[[nodiscard]] Variable variational_bound(const Variable& v, const Tensor& epsilon, const Tensor& noise,
                                         const Tensor& clean, const ReverseSteps& steps, const Tensor& weight,
                                         const Tensor& removed, std::int64_t patch);

}  // namespace tessera::ops
