#pragma once
// Invariant: both implementations compute the same function of the same arguments, already checked by
// attention_forward and attention_backward; only speed and the spaces they run in differ.

#include "compute/attention.hpp"

namespace tessera::compute {

/// One work item per query (and, backward, per key): plain Kokkos, right on every execution space.
namespace portable {
constexpr std::int64_t max_head_dim = 256;
void attention_forward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                       const Tokens& out, const Tensor& log_sum_exp);
void attention_backward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                        const Tokens& out, const Tensor& log_sum_exp, const Tokens& out_gradient,
                        const Tokens& q_gradient, const Tokens& k_gradient, const Tokens& v_gradient);
}  // namespace portable

/// Vectorised for the processor the library was compiled for; absent from builds for GPUs.
namespace host {
void attention_forward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                       const Tokens& out, const Tensor& log_sum_exp);
void attention_backward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                        const Tokens& out, const Tensor& log_sum_exp, const Tokens& out_gradient,
                        const Tokens& q_gradient, const Tokens& k_gradient, const Tokens& v_gradient);
}  // namespace host

}  // namespace tessera::compute
