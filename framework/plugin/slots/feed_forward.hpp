#pragma once
// Slot "feed-forward": the second half of a transformer block, dense or a mixture of experts.

#include "nn/module.hpp"

namespace tessera {

class FeedForward : public nn::Module {
 public:
  static constexpr const char* slot_name = "feed-forward";
  struct Spec {
    std::int64_t width = 0;       ///< of the tokens
    double ratio = 4;             ///< hidden width before rounding, as a multiple of `width`
    double output_deviation = 0;  ///< standard deviation of the output weights at initialisation; 0 = zeros
  };
  /// [batch, tokens, width] -> [batch, tokens, width].
  [[nodiscard]] virtual ops::Variable forward(const ops::Variable& x) const = 0;
};

}  // namespace tessera
