#pragma once
// Slot "caption-conditioner": caption features to cross-attention context and, for some models, a pooled
// vector that joins the noise embedding.

#include "nn/attention.hpp"
#include "plugin/slots/condition.hpp"

namespace tessera {

class CaptionConditioner : public nn::Module {
 public:
  static constexpr const char* slot_name = "caption-conditioner";
  struct Spec {
    std::int64_t caption_width = 0;  ///< of the text features
    std::int64_t caption_length = 0;
    std::int64_t width = 0;  ///< of the backbone
    std::int64_t head_dim = 0;
    bool bias = false;
    bool norm_each_head = false;  ///< of queries and keys, as the backbone
    double norm_eps = 1e-6;
  };
  struct Output {
    nn::Context context;   ///< for cross-attention
    ops::Variable pooled;  ///< [batch, width]; undefined when the model adds none
  };
  [[nodiscard]] virtual Output forward(const CaptionFeatures& captions) const = 0;
  /// Text features that stand for "no caption", [length, caption width] float32: what replaces a dropped
  /// caption in training and the unconditional one under guidance.
  [[nodiscard]] virtual std::vector<float> null_features(std::int64_t length) const = 0;
  /// Whether it reads every position (shards must then store all) or only the real tokens.
  [[nodiscard]] virtual bool needs_all_positions() const = 0;
};

}  // namespace tessera
