#pragma once
// Slot "feed-forward": the second half of a transformer block, dense or a mixture of experts.

#include "nn/module.hpp"

namespace tessera {

class FeedForward : public nn::Module {
 public:
  static constexpr const char* slot_name = "feed-forward";
  struct Spec {
    std::int64_t width = 0;  ///< of the tokens
    double ratio = 4;        ///< hidden width before rounding, as a multiple of `width`
    nn::Initializer input = nn::Initializer::normal(0.02);   ///< of the first matrix, and of a router
    nn::Initializer output = nn::Initializer::normal(0.02);  ///< of the other matrices
  };
  /// [batch, tokens, width] -> [batch, tokens, width].
  [[nodiscard]] virtual ops::Variable forward(const ops::Variable& x) const = 0;
};

}  // namespace tessera
