#pragma once
// Invariant: tokens run row-major over the patch grid (y outer, x inner). A patch is read in (channel, y, x)
// order but written with the channel fastest, as in the published models.

#include "ops/graph.hpp"

namespace tessera::ops {

/// latent [batch, channels, height, width] -> [batch, tokens, channels*patch*patch].
[[nodiscard]] Variable patchify(const Variable& latent, std::int64_t patch);
/// [batch, tokens, patch*patch*channels] -> [batch, channels, rows*patch, columns*patch].
[[nodiscard]] Variable unpatchify(const Variable& tokens, std::int64_t patch, std::int64_t rows,
                                  std::int64_t columns);
/// x [batch, tokens, width] + positions [tokens, width], a constant.
[[nodiscard]] Variable add_positions(const Variable& x, const Tensor& positions);
/// x [batch, tokens, width], keep int32 [batch, kept] -> [batch, kept, width], in the order of `keep`.
[[nodiscard]] Variable gather_tokens(const Variable& x, const Tensor& keep);
/// Inverse of gather_tokens: [batch, kept, width] -> [batch, tokens, width]; restore int32 [batch, tokens] maps a
/// token to its place in the shuffled order; tokens beyond the kept ones become zero.
[[nodiscard]] Variable restore_tokens(const Variable& x, const Tensor& restore);
/// Mean over the tokens: [batch, tokens, width] -> [batch, width] in `result_type`.
[[nodiscard]] Variable mean_tokens(const Variable& x, DType result_type);

}  // namespace tessera::ops
