#pragma once
// Invariant: everything that a batch is conditioned on besides the noise level travels in one Condition, from
// shards or prompts to the components of the model that read it; the others ignore it.

#include <cstdint>
#include <vector>

#include "ops/graph.hpp"

namespace tessera {

/// Raw text features as the text encoder made them.
struct CaptionFeatures {
  ops::Variable features;  ///< [batch, length, caption width]; undefined for models without captions
  std::vector<std::int64_t> lengths;  ///< real tokens per caption; empty when every position counts
};

/// What is known of each picture of a batch besides its caption. A member may be empty when no component of
/// the model reads it.
struct PictureFacts {
  static constexpr std::int64_t no_label = -1;

  std::vector<double> height, width;  ///< of the original picture, pixels
  std::vector<double> aspect;         ///< height / width of the picture's aspect bucket
  std::vector<std::int64_t> label;    ///< class, or no_label
};

struct Condition {
  CaptionFeatures captions;
  PictureFacts facts;
  /// Latents of control maps (slot "control-map"), [batch, channels, height, width] in the residual type;
  /// undefined without. Only a model with an adapter for it reads them.
  Tensor control{};
};

}  // namespace tessera
