#pragma once
// Invariant: everything a run selects by name is made here, from one configuration, so that training,
// sampling, planning and tests assemble a model in the same way.

#include <memory>

#include "plugin/assembly.hpp"
#include "plugin/slots/adapter.hpp"
#include "plugin/slots/backbone.hpp"
#include "plugin/slots/codec.hpp"
#include "plugin/slots/control_map.hpp"
#include "plugin/slots/masking.hpp"
#include "plugin/slots/objective.hpp"
#include "plugin/slots/sampler.hpp"
#include "plugin/slots/text_encoder.hpp"

namespace tessera {

/// The components of a configuration with the tables [codec], [text_encoder], [control], [model.backbone] and
/// the other [model.*] slots, [model.masking], [objective] and [sampler].
class RunComponents {
 public:
  /// Builds without memory for parameters. @throws Error on an unknown component or a bad setting.
  RunComponents(const Registry& registry, const ConfigTree& configuration);
  /// Another model of the same run: codec, text encoder and control map are those of `sibling`.
  RunComponents(const RunComponents& sibling, const ConfigTree& configuration);

  [[nodiscard]] const Codec& codec() const { return *codec_; }
  [[nodiscard]] const TextEncoder& text_encoder() const { return *text_encoder_; }
  /// What makes control maps; null when nothing reads them.
  [[nodiscard]] const ControlMap* control() const { return control_.get(); }
  [[nodiscard]] Backbone& backbone() { return *backbone_; }
  [[nodiscard]] const Backbone& backbone() const { return *backbone_; }
  /// What is attached to the backbone; null when nothing is.
  [[nodiscard]] Adapter* adapter() { return adapter_.get(); }
  [[nodiscard]] const Adapter* adapter() const { return adapter_.get(); }
  /// Whether the model reads Condition::control.
  [[nodiscard]] bool reads_control() const { return adapter_ != nullptr && adapter_->reads_control(); }
  [[nodiscard]] const Masking& masking() const { return *masking_; }
  [[nodiscard]] const Objective& objective() const { return *objective_; }
  [[nodiscard]] const Sampler& sampler() const { return *sampler_; }
  /// Pixels along a side of the square that one token stands for: what sides of pictures are multiples of.
  [[nodiscard]] std::int64_t token_side() const { return codec_->downsampling() * backbone_->patch_size(); }
  /// Every table this made, defaults included.
  [[nodiscard]] ConfigTree resolved() const;

  /// Makes the sampler anew with `settings` laid over [sampler]; when they name another sampler, with that
  /// one's defaults instead of [sampler]. @return whether they do
  bool set_sampler(const ConfigTree& settings);

 private:
  void make_model();

  Assembly outer_;
  Assembly model_;
  std::shared_ptr<const Codec> codec_;
  std::shared_ptr<const TextEncoder> text_encoder_;
  std::shared_ptr<const ControlMap> control_;
  ConfigTree encoder_tables_;  // of these three, resolved
  std::unique_ptr<Backbone> backbone_;
  std::unique_ptr<Adapter> adapter_;
  std::unique_ptr<Masking> masking_;
  std::unique_ptr<Objective> objective_;
  std::unique_ptr<Sampler> sampler_;
};

}  // namespace tessera
