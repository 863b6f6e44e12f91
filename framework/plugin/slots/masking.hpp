#pragma once
// Slot "masking": decides from one uniform number per token which tokens training keeps. Runs on the host,
// beside the other preparation of a batch.

#include <cstdint>
#include <vector>

#include "tensor/tensor.hpp"

namespace tessera {

/// Which tokens of each image are kept. "Shuffled order": kept tokens first, in the order of `keep`.
struct TokenMask {
  std::int64_t kept = 0;  ///< tokens kept per image
  Tensor keep;            ///< int32 [batch, kept]: token indices, in the shuffled order
  Tensor restore;         ///< int32 [batch, tokens]: place of each token in the shuffled order
  Tensor removed;         ///< float32 [batch, tokens]: 1 where the token was dropped
};

class Masking {
 public:
  static constexpr const char* slot_name = "masking";
  struct Spec {};
  virtual ~Masking() = default;

  /// int(tokens * (1 - ratio)) in double arithmetic, as published.
  [[nodiscard]] static std::int64_t kept_tokens(std::int64_t tokens, double ratio);
  /// A random order of the tokens of one image, those to keep first.
  /// @param uniform  [rows*columns] independent draws from [0, 1)
  [[nodiscard]] virtual std::vector<std::int32_t> order(const float* uniform, std::int64_t rows,
                                                        std::int64_t columns, std::int64_t kept) const = 0;
};

/// The mask of a batch from its draws [batch, rows*columns].
[[nodiscard]] TokenMask make_token_mask(const Masking& masking, const std::vector<float>& uniform,
                                        std::int64_t batch, std::int64_t rows, std::int64_t columns,
                                        std::int64_t kept);
/// The same from recorded orders, int [batch, tokens] each.
[[nodiscard]] TokenMask make_token_mask(const std::vector<std::int32_t>& order, std::int64_t batch,
                                        std::int64_t tokens, std::int64_t kept);

}  // namespace tessera
