#pragma once
// Slot "modulation": turns the conditioning vector into the shift, scale and gate vectors of every block.
// prepare() does once what the blocks share; the block owns the fused norm and gate that use the vectors.

#include "nn/module.hpp"

namespace tessera {

class Modulation : public nn::Module {
 public:
  static constexpr const char* slot_name = "modulation";
  struct Spec {
    std::int64_t blocks = 0;
    std::int64_t width = 0;            ///< of the blocks
    std::int64_t condition_width = 0;  ///< of the conditioning vector
    bool final_layer = false;          ///< also serves a final layer with one shift and one scale
  };
  /// Rows of block_vectors' middle extent.
  enum Row : std::int64_t {
    shift_attention,
    scale_attention,
    gate_attention,
    shift_mlp,
    scale_mlp,
    gate_mlp
  };

  /// condition [batch, condition_width] -> what block_vectors and final_vectors take.
  [[nodiscard]] virtual ops::Variable prepare(const ops::Variable& condition) const = 0;
  /// [batch, 6, width], rows as in Row.
  [[nodiscard]] virtual ops::Variable block_vectors(const ops::Variable& prepared,
                                                    std::int64_t block) const = 0;
  /// [batch, 2, width]: shift, scale. `condition` is the vector before prepare().
  [[nodiscard]] virtual ops::Variable final_vectors(const ops::Variable& prepared,
                                                    const ops::Variable& condition) const = 0;

  /// Parameters that belong to block i, to the final layer, and to no block (may be null).
  [[nodiscard]] virtual nn::Module& block_parameters(std::int64_t block) = 0;
  [[nodiscard]] virtual nn::Module* final_parameters() { return nullptr; }
  [[nodiscard]] virtual nn::Module* shared_parameters() { return nullptr; }
};

}  // namespace tessera
