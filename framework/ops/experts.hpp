#pragma once
// Invariant: expert choice is made per image, so the composition of a batch never changes a result; ties are
// broken by the lower token index.

#include "ops/graph.hpp"

namespace tessera::ops {

/// For every image and expert the `count` tokens with the largest probability, largest first.
/// probabilities [batch, tokens, experts]; returns int32 [experts, batch, count], token indices in the image.
[[nodiscard]] Tensor choose_tokens(const Tensor& probabilities, std::int64_t count);

/// x [batch, tokens, width], chosen int32 [experts, batch, count] -> [experts, batch*count, width].
[[nodiscard]] Variable gather_chosen(const Variable& x, const Tensor& chosen);

/// y[b, t] = sum over experts e that chose t of probabilities[b, t, e] * outputs[e, (b, slot of t)];
/// outputs [experts, batch*count, width], probabilities [batch, tokens, experts] -> [batch, tokens, width].
/// Tokens nobody chose get 0. The gradient reaches only the chosen probabilities.
[[nodiscard]] Variable scatter_chosen(const Variable& outputs, const Variable& probabilities,
                                      const Tensor& chosen);

}  // namespace tessera::ops
