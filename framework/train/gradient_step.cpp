#include "train/gradient_step.hpp"

#include <algorithm>

#include "base/activity.hpp"
#include "base/timeline.hpp"
#include "ops/accumulate.hpp"
#include "ops/graph.hpp"

namespace tessera::train {
namespace {

/// Installs a callback for one backward, exceptions included.
class ProgressScope {
 public:
  explicit ProgressScope(ops::BackwardProgress callback) { ops::set_backward_progress(std::move(callback)); }
  ~ProgressScope() { ops::set_backward_progress({}); }
  ProgressScope(const ProgressScope&) = delete;
  ProgressScope& operator=(const ProgressScope&) = delete;
};

Shape latent_shape(const data::HostBatch& batch) {
  return {static_cast<std::int64_t>(batch.samples), batch.channels, batch.grid.height, batch.grid.width};
}

}  // namespace

GradientStep::GradientStep(RunComponents& components, ModelState& model, const StageSettings& stage,
                           data::Loader& loader)
    : components_(components), model_(model), stage_(stage), loader_(loader) {
  if (const CaptionConditioner* captions = components.backbone().captions()) {
    null_caption_ = captions->null_features(loader.dataset().header().caption_length);
  }
}

double GradientStep::run(const RandomKey& key) {
  model_.route().begin_step();
  damages_.clear();
  double loss = 0;
  const std::uint32_t micros = loader_.micro_batches();
  for (std::uint32_t micro = 0; micro < micros; ++micro) {
    const Doing doing("micro-batch " + std::to_string(micro + 1) + " of " + std::to_string(micros));
    TimelineSpan wait("wait for data", micro);
    const data::HostBatch& batch = loader_.next();
    wait.end();
    damages_.insert(damages_.end(), batch.damages.begin(), batch.damages.end());
    loss += micro_step(batch, key, micro + 1 == micros);
  }
  model_.route().end_step(micros, most_micro_batches());
  return loss;
}

std::uint32_t GradientStep::most_micro_batches() const {
  const std::int64_t share = (stage_.batch + model_.ranks() - 1) / model_.ranks();
  const std::int64_t micro = stage_.micro_batch == 0 ? share : std::min(stage_.micro_batch, share);
  return static_cast<std::uint32_t>((share + micro - 1) / micro);
}

double GradientStep::micro_step(const data::HostBatch& batch, const RandomKey& key, bool last) {
  TimelineSpan forward("forward", batch.micro);
  const DType type = model_.store().precision().residual;
  const Shape shape = latent_shape(batch);
  if (model_.route().follows_backward(last)) model_.store().clear_uses();
  TokenMask mask;
  if (stage_.mask_ratio > 0) mask = mask_of(batch, key);
  const ObjectiveDraws draws = components_.objective().draw(key, batch.position, shape, type);
  const TrainingBatch training{ops::converted(Tensor::from_host(batch.latents, shape), type),
                               condition_of(batch), stage_.mask_ratio > 0 ? &mask : nullptr};
  const ObjectiveLoss loss = loss_of(training, draws);
  const std::vector<double> losses = ops::converted(loss.per_image.value(), DType::f64).to_host<double>();
  forward.end();
  {
    const Doing doing("backward");
    const TimelineSpan span("backward", batch.micro);
    backward(loss.per_image, batch.weight, last);
  }
  double sum = 0;
  for (std::size_t i = 0; i < losses.size(); ++i) sum += batch.weight[i] * losses[i];
  return sum / static_cast<double>(stage_.batch);
}

ObjectiveLoss GradientStep::loss_of(const TrainingBatch& batch, const ObjectiveDraws& draws) {
  const Doing doing("forward");
  return components_.objective().loss(components_.backbone(), batch, draws);
}

Condition GradientStep::condition_of(const data::HostBatch& batch) {
  Condition condition;
  if (components_.backbone().captions() != nullptr) condition.captions = captions_of(batch);
  if (components_.reads_control()) {
    condition.control = ops::converted(Tensor::from_host(batch.controls, latent_shape(batch)),
                                       model_.store().precision().residual);
  }
  PictureFacts& facts = condition.facts;
  facts.height.assign(batch.height.begin(), batch.height.end());
  facts.width.assign(batch.width.begin(), batch.width.end());
  facts.aspect.assign(batch.samples, batch.ratio);
  const std::vector<std::int32_t>& labels =
      stage_.data.label == LabelKind::group ? batch.group : batch.subgroup;
  facts.label.assign(labels.begin(), labels.end());
  for (std::size_t i = 0; i < batch.samples; ++i) {
    if (batch.drop_caption[i] != 0) facts.label[i] = PictureFacts::no_label;
  }
  return condition;
}

CaptionFeatures GradientStep::captions_of(const data::HostBatch& batch) {
  captions_ = batch.captions;
  const std::size_t per_caption = null_caption_.size();
  CaptionFeatures captions;
  for (std::size_t i = 0; i < batch.samples; ++i) {
    if (batch.drop_caption[i] == 0) continue;
    std::ranges::copy(null_caption_, captions_.begin() + static_cast<std::ptrdiff_t>(i * per_caption));
  }
  // A dropped caption keeps its length: it reads as many positions of the null caption (PixArt-alpha).
  captions.lengths.assign(batch.len_real.begin(), batch.len_real.end());
  const Shape shape{static_cast<std::int64_t>(batch.samples), batch.caption_length, batch.caption_width};
  captions.features =
      ops::Variable(ops::converted(Tensor::from_host(captions_, shape), model_.store().precision().residual));
  return captions;
}

TokenMask GradientStep::mask_of(const data::HostBatch& batch, const RandomKey& key) {
  const std::int64_t patch = components_.backbone().patch_size();
  const std::int64_t rows = batch.grid.height / patch;
  const std::int64_t columns = batch.grid.width / patch;
  const auto tokens = static_cast<std::size_t>(rows * columns);
  RandomKey masking = key;
  masking.purpose = Purpose::mask;
  const RandomStream stream(masking);
  uniform_.resize(batch.samples * tokens);
  for (std::size_t i = 0; i < batch.samples; ++i) {
    fill_uniform01(stream, batch.position + i, 0, uniform_.data() + i * tokens, tokens);
  }
  return make_token_mask(components_.masking(), uniform_, static_cast<std::int64_t>(batch.samples), rows,
                         columns, Masking::kept_tokens(rows * columns, stage_.mask_ratio));
}

void GradientStep::backward(const ops::Variable& per_image, const std::vector<double>& weights, bool last) {
  std::vector<double> share = weights;
  for (double& weight : share) weight /= static_cast<double>(stage_.batch);
  const Tensor seed = ops::converted(Tensor::from_host(share, per_image.shape()), per_image.dtype());
  if (!model_.route().follows_backward(last)) {
    ops::backward(per_image, seed);
    return;
  }
  std::size_t next_slot = 0;
  const ProgressScope scope([&](std::uint64_t order) { report(order, next_slot); });
  ops::backward(per_image, seed);
  report(0, next_slot);
}

void GradientStep::report(std::uint64_t order, std::size_t& next_slot) {
  const auto slots = model_.store().trainable_slots();
  while (next_slot < slots.size() && slots[next_slot].parameter->node()->first_use() >= order) {
    model_.route().complete(next_slot++);
  }
  model_.sums().progress();
}

}  // namespace tessera::train
