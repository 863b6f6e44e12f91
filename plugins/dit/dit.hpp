#pragma once
// Invariant: the parts run in the order patch embedding, mixer, masking, blocks, head, unmasking; which parts
// there are is decided once, from the configuration.

#include <map>
#include <memory>
#include <utility>

#include "nn/embeddings.hpp"
#include "nn/patch.hpp"
#include "plugin/assembly.hpp"
#include "plugin/block_stack.hpp"
#include "plugin/slots/backbone.hpp"
#include "plugin/slots/patch_mixer.hpp"

namespace tessera {

/// Modulated LayerNorm and a linear map to patch x patch x channels values per token; zero at initialisation.
class FinalLayer : public nn::Module {
 public:
  FinalLayer(const BlockSpec& block, std::int64_t values, Modulation& modulation);
  /// x [batch, tokens, width], vectors [batch, 2, width] -> [batch, tokens, values] in the residual type.
  [[nodiscard]] ops::Variable forward(const ops::Variable& x, const ops::Variable& vectors) const;

 private:
  nn::LayerNorm norm_;
  nn::Linear linear_;
};

/// The diffusion transformer of MicroDiT, PixArt-alpha and DiT, as its settings and the slots say.
class Dit : public Backbone {
 public:
  Dit(const Config& config, const Spec& spec, Assembly& assembly);

  [[nodiscard]] ops::Variable forward(const Input& input) const override;
  [[nodiscard]] std::int64_t patch_size() const override { return patch_; }
  [[nodiscard]] std::int64_t output_channels() const override { return output_channels_; }
  [[nodiscard]] const CaptionConditioner* captions() const override { return captions_.get(); }
  [[nodiscard]] const AuxiliaryConditioner* auxiliary() const override { return auxiliary_.get(); }
  void set_positions(const PositionGrid& grid) override;
  [[nodiscard]] BlockStack* blocks() override { return blocks_.get(); }

 private:
  [[nodiscard]] Tensor positions(std::int64_t rows, std::int64_t columns) const;
  /// The control map's patches, embedded as the latent's are, those that the mask keeps; undefined without a
  /// map, or without anything that reads it.
  [[nodiscard]] ops::Variable control_tokens(const Input& input) const;

  std::int64_t channels_;
  std::int64_t output_channels_;
  std::int64_t width_;
  std::int64_t patch_;
  PositionGrid position_grid_;
  nn::PatchEmbedding patch_embedding_;
  nn::ScalarEmbedding noise_embedding_;
  std::unique_ptr<AuxiliaryConditioner> auxiliary_;
  std::unique_ptr<CaptionConditioner> captions_;
  std::unique_ptr<PatchMixer> mixer_;
  std::unique_ptr<Modulation> modulation_;
  std::unique_ptr<BlockStack> blocks_;
  std::unique_ptr<FinalLayer> final_layer_;
  mutable std::map<std::pair<std::int64_t, std::int64_t>, Tensor> positions_;  // by rows and columns
};

}  // namespace tessera
