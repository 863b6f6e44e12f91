#include "launch/plan/plan.hpp"

#include <algorithm>
#include <map>

#include "comm/passed_gradients.hpp"
#include "compute/cost.hpp"
#include "nn/parameter_store.hpp"
#include "ops/graph.hpp"
#include "plugin/run_components.hpp"
#include "tensor/meta_memory.hpp"
#include "train/hand_over.hpp"

namespace tessera::launch {
namespace {

/// Names of parts as papers call them; other parts keep the name in their parameters.
std::string part_of(const std::string& parameter) {
  static const std::vector<std::pair<std::string, std::string>> known{
      {"x_embedder.", "patch embedding"},
      {"t_embedder.", "noise embedding"},
      {"t_block.", "modulation of all blocks"},
      {"csize_embedder.", "size embedding"},
      {"ar_embedder.", "aspect ratio embedding"},
      {"y_embedder.embedding_table.", "class embedding"},
      {"y_embedder.y_embedding", "null caption"},
      {"y_embedder.", "caption projection"},
      {"y_emb_preprocess.", "caption block"},
      {"pooled_y_emb_process.", "pooled caption"},
      {"patch_mixer_map_xin.", "patch mixer, map in"},
      {"patch_mixer_map_xout.", "patch mixer, map out"},
      {"patch_mixer_map_y.", "patch mixer, caption map"},
      {"patch_mixer.", "patch mixer, blocks"},
      {"blocks.", "backbone blocks"},
      {"final_layer.", "final layer"},
      {"controlnet.", "ControlNet"},
  };
  for (const auto& [prefix, name] : known) {
    if (parameter.starts_with(prefix)) return name;
  }
  return parameter.substr(0, parameter.find('.'));
}

/// The share of experts that a token meets on average, from the settings of the experts' component.
double active_share(const Registry& registry, const ConfigTree& resolved, std::int64_t experts) {
  const ConfigTree table = resolved.table("model.experts");
  if (!table.has("name") || !table.has("capacity")) return 1;
  const Component& component = registry.find("feed-forward", table.get_string("name"));
  const Config config = Config::resolve(table, component.schema, {"name"});
  return std::min(1.0, config.get<double>("capacity") / static_cast<double>(experts));
}

ParameterPlan plan_parameters(const Registry& registry, RunComponents& components) {
  ParameterPlan plan;
  const ConfigTree resolved = components.resolved();
  double active = 0;
  for (const nn::NamedParameter& named : components.backbone().parameters()) {
    const std::int64_t count = named.parameter->shape().numel();
    const std::string part = part_of(named.name);
    auto found = std::find_if(plan.parts.begin(), plan.parts.end(),
                              [&](const ParameterPart& other) { return other.name == part; });
    if (found == plan.parts.end()) found = plan.parts.insert(found, {part, 0});
    found->count += count;
    plan.total += count;
    if (!named.parameter->options().trainable) plan.frozen += count;
    if (named.parameter->options().expert) {
      plan.experts += count;
      active += static_cast<double>(count) * active_share(registry, resolved, named.parameter->shape()[0]);
    } else {
      active += static_cast<double>(count);
    }
  }
  plan.active = static_cast<std::int64_t>(active);
  return plan;
}

/// What a batch of square pictures is conditioned on, every caption as long as the encoder allows. The
/// numbers do not matter where only shapes are computed.
Condition meta_condition(const RunComponents& components, std::int64_t batch, std::int64_t resolution,
                         DType type) {
  const auto images = static_cast<std::size_t>(batch);
  const std::vector<double> sides(images, static_cast<double>(resolution));
  Condition condition;
  condition.facts = {sides, sides, std::vector<double>(images, 1.0), std::vector<std::int64_t>(images, 0)};
  if (components.backbone().captions() != nullptr) {
    const TextEncoder& encoder = components.text_encoder();
    condition.captions.features =
        ops::Variable(Tensor::empty({batch, encoder.length(), encoder.width()}, type));
    condition.captions.lengths.assign(images, encoder.length());
  }
  return condition;
}

/// The inputs of a batch, shapes only.
struct MetaBatch {
  MetaBatch(const RunComponents& components, std::int64_t batch, std::int64_t resolution, std::int64_t tokens,
            std::int64_t kept, DType type)
      : level(Tensor::empty({batch}, type)), condition(meta_condition(components, batch, resolution, type)) {
    const std::int64_t side = resolution / components.codec().downsampling();
    latents = Tensor::empty({batch, components.codec().channels(), side, side}, type);
    if (components.reads_control()) condition.control = latents;
    if (kept < tokens) {
      mask.kept = kept;
      mask.keep = Tensor::empty({batch, kept}, DType::i32);
      mask.restore = Tensor::empty({batch, tokens}, DType::i32);
      mask.removed = Tensor::empty({batch, tokens}, DType::f32);
    }
  }
  [[nodiscard]] const TokenMask* mask_or_null() const { return mask.keep.defined() ? &mask : nullptr; }

  Tensor latents, level;
  Condition condition;
  TokenMask mask;
};

StagePlan plan_stage(RunComponents& components, const train::StageSettings& stage, DType type,
                     std::int64_t ranks) {
  Backbone& backbone = components.backbone();
  const std::int64_t unit = components.codec().downsampling();
  if (stage.resolution % (unit * backbone.patch_size()) != 0) {
    throw Error("the stage '" + stage.name + "' has pictures of " + std::to_string(stage.resolution) +
                    " pixels, which the model's tokens of " + std::to_string(unit * backbone.patch_size()) +
                    " pixels do not divide",
                {}, "choose another resolution or patch");
  }
  const std::int64_t across = stage.resolution / (unit * backbone.patch_size());
  StagePlan plan;
  plan.settings = &stage;
  plan.tokens = across * across;
  plan.kept = stage.mask_ratio > 0 ? Masking::kept_tokens(plan.tokens, stage.mask_ratio) : plan.tokens;
  const std::int64_t share = (stage.batch + ranks - 1) / ranks;
  plan.micro_batch = stage.micro_batch == 0 ? share : std::min(stage.micro_batch, share);

  const MetaScope meta;
  {
    const ops::NoGradScope no_grad;
    const MetaBatch one(components, 1, stage.resolution, plan.tokens, plan.kept, type);
    const compute::CostScope scope;
    static_cast<void>(
        backbone.forward({ops::Variable(one.latents), one.level, one.condition, one.mask_or_null()}));
    plan.forward = {scope.cost().matmul_flops, scope.cost().attention_flops, scope.cost().one_hot_flops};
  }
  const std::size_t before = meta_memory_statistics().current;
  reset_peak_meta_memory();
  const MetaBatch batch(components, plan.micro_batch, stage.resolution, plan.tokens, plan.kept, type);
  const Tensor noise = Tensor::empty(batch.latents.shape(), type);
  const ObjectiveLoss loss = components.objective().loss(
      backbone, {batch.latents, batch.condition, batch.mask_or_null()}, {batch.level, noise});
  ops::backward(loss.per_image, Tensor::empty(loss.per_image.shape(), loss.per_image.dtype()));
  plan.activation_bytes = meta_memory_statistics().peak - before;
  return plan;
}

StateBytes plan_state(const nn::ParameterStore& store) {
  const auto elements = static_cast<std::uint64_t>(store.arena_elements());
  const nn::Precision& precision = store.precision();
  StateBytes state;
  state.values = elements * size_of(precision.parameter);
  state.gradients = static_cast<std::uint64_t>(store.trainable_elements()) * size_of(precision.parameter);
  state.moments = 2 * state.gradients;
  for (const nn::ParameterSlot& slot : store.slots()) {
    if (slot.parameter->options().exact) {
      state.exact_values += static_cast<std::uint64_t>(slot.count) * size_of(precision.parameter);
    }
    if (!slot.trainable) continue;
    state.largest_gradient = std::max(state.largest_gradient,
                                      static_cast<std::uint64_t>(slot.count) * size_of(precision.parameter));
  }
  if (precision.compute != precision.parameter) state.compute_copy = elements * size_of(precision.compute);
  return state;
}

}  // namespace

StateBytes held_by(const StateBytes& whole, const train::ShardSettings& shard, const MemoryLayout& layout) {
  const auto holders = static_cast<std::uint64_t>(layout.holders);
  const auto ranks = static_cast<std::uint64_t>(layout.ranks);
  const auto share = [&](std::uint64_t bytes) { return (bytes + holders - 1) / holders; };
  StateBytes held = whole;
  if (holders == 1) return held;  // one rank, or gradients once for the node
  held.gradients = ranks * whole.gradients;
  if (shard.mode == train::Shard::none) return held;
  held.moments = share(whole.moments);
  held.average = share(whole.average);
  if (whole.compute_copy > 0) held.values = whole.exact_values + share(whole.values - whole.exact_values);
  std::uint64_t travelling = 2 * comm::BucketScatter::default_exchange_bytes;
  if (shard.mode == train::Shard::gradients) {
    held.gradients = share(whole.gradients);
    travelling += comm::PassedGradients::default_queue_bytes +
                  std::max<std::uint64_t>(shard.bucket_bytes, whole.largest_gradient);
  }
  held.travelling = ranks * std::min(travelling, whole.gradients);
  return held;
}

std::uint64_t Plan::most_bytes(const train::ShardSettings& shard, std::int64_t ranks) const {
  std::uint64_t most = 0;
  for (const StagePlan& stage : stages) {
    const StateBytes state = held_by(models[stage.model].state, shard, {.holders = ranks});
    most = std::max(most, state.all() + stage.activation_bytes);
  }
  return most;
}

Plan make_plan(const Registry& registry, const train::RunConfig& config, std::int64_t ranks) {
  const nn::Precision precision = nn::Precision::named(config.run.precision);
  const RunComponents first(registry, config.stage_tree(0));
  Plan plan;
  ModelOutline before;
  for (std::size_t i = 0; i < config.stages.size(); ++i) {
    const train::StageSettings& stage = config.stages[i];
    RunComponents components(first, config.stage_tree(i));
    nn::ParameterStore store(components.backbone());
    store.materialise(precision, [](const std::string&, std::int64_t elements, DType type) {
      return Tensor::meta({elements}, type);
    });
    const ModelOutline outline = train::outline_of(components);
    if (i == 0 || outline.parameters != before.parameters || !(outline.tables == before.tables)) {
      plan.models.push_back({{}, plan_parameters(registry, components), plan_state(store)});
      before = outline;
    }
    ModelPlan& model = plan.models.back();
    model.stages += (model.stages.empty() ? "" : ", ") + stage.name;
    if (stage.ema_smoothing > 0) model.state.average = model.state.gradients;
    plan.stages.push_back(plan_stage(components, stage, precision.residual, ranks));
    plan.stages.back().model = plan.models.size() - 1;
  }
  return plan;
}

}  // namespace tessera::launch
