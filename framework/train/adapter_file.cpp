#include "train/adapter_file.hpp"

#include "base/log.hpp"

namespace tessera::train {
namespace {

namespace fs = std::filesystem;

RunConfig config_of(const checkpoint::Description& description, const fs::path& file) {
  return RunConfig::resolve(
      ConfigTree::parse(description.state.config, file.string() + " (its configuration)"));
}

bool has_adapter(const ConfigTree& stage) { return stage.get_string("model.adapter.name", "none") != "none"; }

/// Whether the model that was adapted is the one in [start]: no stage has trained another one since.
bool adapts_start(const RunConfig& config, std::size_t stage) {
  bool all = config.start.has_value();
  for (std::size_t i = 0; i <= stage; ++i) all = all && has_adapter(config.stage_tree(i));
  return all;
}

const char* name_of(checkpoint::Weights weights) {
  switch (weights) {
    case checkpoint::Weights::trained:
      return "trained";
    case checkpoint::Weights::average:
      return "average";
    case checkpoint::Weights::preferred:
      break;
  }
  return "preferred";
}

/// What the trained parameters of `store` were trained on.
checkpoint::AdapterBase base_of(const RunConfig& config, std::size_t stage,
                                const checkpoint::Description& description, const fs::path& file,
                                const nn::ParameterStore& store) {
  std::map<std::string, checkpoint::TensorEntry> frozen =
      checkpoint::weights_in(description, file, checkpoint::Weights::trained);
  for (const nn::ParameterSlot& slot : store.trainable_slots()) frozen.erase(slot.name);
  checkpoint::AdapterBase base;
  base.digest = checkpoint::digest(frozen);
  base.weights = name_of(checkpoint::Weights::trained);
  if (adapts_start(config, stage)) {
    base.checkpoint = config.start->checkpoint;
    base.weights = name_of(config.start->weights);
  }
  return base;
}

}  // namespace

ConfigTree adapted_tree(const RunConfig& config, std::size_t stage, const checkpoint::Description& adapter,
                        const fs::path& file) {
  ConfigTree tree = config.stage_tree(stage);
  if (has_adapter(tree)) {
    throw Error("the model has an adapter already.", file.string(),
                "Merge that one first: `tessera checkpoint export-adapter` and `tessera checkpoint merge`.");
  }
  const RunConfig trained = config_of(adapter, file);
  const ConfigTree addition = trained.stage_tree(trained.stage_of(adapter.state));
  tree.insert("model.adapter", addition.table("model.adapter"));
  if (addition.has("control")) tree.insert("control", addition.table("control"));
  return tree;
}

void warn_of_other_base(const checkpoint::Description& adapter, const checkpoint::Description& checkpoint,
                        const fs::path& file, checkpoint::Weights weights) {
  const std::string digest = checkpoint::digest(checkpoint::weights_in(checkpoint, file, weights));
  if (!adapter.base || digest == adapter.base->digest) return;
  log_warning("The adapter was trained on other weights (digest " + adapter.base->digest + ", " +
              adapter.base->weights + (adapter.base->checkpoint.empty() ? "" : " of ") +
              adapter.base->checkpoint + ") than those of " + file.string() + " (digest " + digest + ").");
}

checkpoint::Description export_adapter(const Registry& registry, const fs::path& file,
                                       checkpoint::Weights weights, const fs::path& out,
                                       const comm::Communicator& alone) {
  const checkpoint::Description description = checkpoint::describe(file);
  const RunConfig config = config_of(description, file);
  const std::size_t stage = config.stage_of(description.state);
  RunComponents components(registry, config.stage_tree(stage));
  if (components.adapter() == nullptr) {
    throw Error("the model of this checkpoint has no adapter.", file.string(),
                "Name a checkpoint of a run with a table [model.adapter].");
  }
  const bool average = checkpoint::takes_average(description, file, weights);
  const nn::ParameterStore store(components.backbone());
  const Tensor trained = Tensor::zeros({store.trainable_elements()},
                                       nn::Precision::named(description.state.precision).parameter);
  checkpoint::load(description, file, store, {{average ? "average" : "model", trained}}, alone);
  checkpoint::RunState state = description.state;
  state.average_active = false;
  checkpoint::save(out, state, store, {{"adapter", trained}}, alone,
                   base_of(config, stage, description, file, store));
  return checkpoint::verify(out, checkpoint::FileKind::adapter);
}

checkpoint::Description merge_adapter(const Registry& registry, const fs::path& base,
                                      checkpoint::Weights weights, const fs::path& adapter,
                                      const fs::path& out, const comm::Communicator& alone) {
  const checkpoint::Description description = checkpoint::describe(base);
  const checkpoint::Description addition = checkpoint::describe(adapter, checkpoint::FileKind::adapter);
  warn_of_other_base(addition, description, base, weights);
  const RunConfig config = config_of(description, base);
  const std::size_t stage = config.stage_of(description.state);
  const nn::Precision precision = nn::Precision::named(description.state.precision);

  RunComponents components(registry, adapted_tree(config, stage, addition, adapter));
  nn::ParameterStore store(components.backbone());
  store.materialise(precision, [](const std::string& role, std::int64_t elements, DType type) {
    return role == "values" ? Tensor::zeros({elements}, type) : Tensor::meta({elements}, type);
  });
  checkpoint::load_weights(base, store, weights, adapter);
  components.adapter()->merge(true);

  // The model without the adapter has the parameters of the base, as trainable as they were there.
  RunComponents plain(registry, config.stage_tree(stage));
  const nn::ParameterStore merged(plain.backbone());
  const Tensor values = Tensor::zeros({merged.arena_elements()}, precision.parameter);
  for (const nn::ParameterSlot& slot : merged.slots()) {
    merged.view(values, slot).copy_from(store.view(store.values(), store.slot(slot.name)));
  }
  checkpoint::RunState state = description.state;
  state.average_active = false;
  state.optimizer_updates = 0;
  checkpoint::save(out, state, merged, {{"model", values}}, alone);
  return checkpoint::verify(out);
}

}  // namespace tessera::train
