#pragma once
// Slot "patch-mixer": transformer blocks that see every token before masking drops most of them
// (deferred masking, MicroDiT section 3).

#include "plugin/transformer_block.hpp"

namespace tessera {

class PatchMixer : public nn::Module {
 public:
  static constexpr const char* slot_name = "patch-mixer";
  struct Spec {
    std::int64_t width = 0;            ///< of the backbone
    std::int64_t condition_width = 0;  ///< of the conditioning vector
    BlockSpec block;                   ///< the backbone's last block, which the mixer's take after
    bool recompute = false;            ///< keep only block inputs for backward
  };
  /// tokens [batch, tokens, width], context of `width` -> [batch, tokens, mixer width].
  [[nodiscard]] virtual ops::Variable mix(const ops::Variable& tokens, const nn::Context& context,
                                          const ops::Variable& condition) const = 0;
  /// Back to the backbone's width, for the kept tokens only.
  [[nodiscard]] virtual ops::Variable leave(const ops::Variable& tokens) const = 0;
};

}  // namespace tessera
