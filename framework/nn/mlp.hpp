#pragma once
// Invariant: hidden widths are rounded up to a multiple of `multiple_of`, as the published models do.

#include <optional>

#include "nn/layers.hpp"

namespace tessera::nn {

/// `value` rounded up to a multiple of `unit`.
[[nodiscard]] std::int64_t round_up(std::int64_t value, std::int64_t unit);

/// w3(silu(w1 x) * (w2 x)); the hidden width is int(2/3 int(width ratio)) rounded up.
class SwiGlu : public Module {
 public:
  SwiGlu(std::int64_t width, double ratio, std::int64_t multiple_of, bool bias, Initializer gate,
         Initializer value, Initializer output);
  [[nodiscard]] static std::int64_t hidden_width(std::int64_t width, double ratio, std::int64_t multiple_of);
  [[nodiscard]] ops::Variable forward(const ops::Variable& x) const;

 private:
  Linear gate_;
  Linear value_;
  Linear output_;
};

/// fc2(gelu(fc1 x)), or fc2(LayerNorm(gelu(fc1 x))): the published models' projection of captions and of
/// pooled captions.
class CaptionMlp : public Module {
 public:
  /// @param norm_eps  of the LayerNorm; nothing for none
  CaptionMlp(std::int64_t in, std::int64_t width, std::optional<double> norm_eps = {});
  /// Exact products: the conditioning is a small part of the arithmetic, and its error reaches every block.
  [[nodiscard]] ops::Variable forward(const ops::Variable& x) const;

 private:
  Linear input_;
  std::optional<LayerNorm> norm_;
  Linear output_;
};

}  // namespace tessera::nn
