#pragma once
// Slot "patch-mixer": transformer blocks that see every token before masking drops most of them
// (deferred masking, MicroDiT section 3).

#include "nn/attention.hpp"

namespace tessera {

class PatchMixer : public nn::Module {
 public:
  static constexpr const char* slot_name = "patch-mixer";
  struct Spec {
    std::int64_t width = 0;            ///< of the backbone
    std::int64_t condition_width = 0;  ///< of the conditioning vector
    std::int64_t head_dim = 0;
    std::int64_t backbone_depth = 0;  ///< sets the deviation of output projections at initialisation
    bool bias = false;
    double norm_eps = 1e-6;
    bool recompute = false;  ///< keep only block inputs for backward
  };
  /// tokens [batch, tokens, width], context of `width` -> [batch, tokens, mixer width].
  [[nodiscard]] virtual ops::Variable mix(const ops::Variable& tokens, const nn::Context& context,
                                          const ops::Variable& condition) const = 0;
  /// Back to the backbone's width, for the kept tokens only.
  [[nodiscard]] virtual ops::Variable leave(const ops::Variable& tokens) const = 0;
};

}  // namespace tessera
