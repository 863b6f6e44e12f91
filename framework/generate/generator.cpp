#include "generate/generator.hpp"

#include "comm/shared_arena.hpp"
#include "train/adapter_file.hpp"

namespace tessera::generate {

Generator::Generator(const Registry& registry, const std::filesystem::path& file, checkpoint::Weights weights,
                     const std::string& precision, const std::optional<comm::Communicator>& world,
                     const std::filesystem::path& adapter)
    : description_(checkpoint::describe(file)),
      config_(train::RunConfig::resolve(ConfigTree::parse(description_.state.config, file.string()))) {
  components_ = std::make_unique<RunComponents>(registry, tree_with(adapter));
  store_ = std::make_unique<nn::ParameterStore>(components_->backbone());
  const std::string named = precision.empty() ? config_.run.precision : precision;
  const bool shared = world && world->size() > 1 && comm::SharedArena::supported(*world);
  const auto arena = [&](const std::string&, std::int64_t elements, DType type) {
    return shared ? comm::shared_tensor(*world, elements, type) : Tensor::zeros({elements}, type);
  };
  store_->materialise(nn::Precision::named(named), arena, nn::GradientFlow::none);
  if (!shared) {
    load(file, weights, adapter, true);
    return;
  }
  const comm::Communicator node = world->node();
  node.together([&] { load(file, weights, adapter, node.rank() == 0); });
  node.barrier();
}

ConfigTree Generator::tree_with(const std::filesystem::path& adapter) const {
  const std::size_t stage = config_.stage_of(description_.state);
  if (adapter.empty()) return config_.stage_tree(stage);
  return train::adapted_tree(config_, stage, checkpoint::describe(adapter, checkpoint::FileKind::adapter),
                             adapter);
}

void Generator::load(const std::filesystem::path& file, checkpoint::Weights weights,
                     const std::filesystem::path& adapter, bool reads) {
  if (reads) checkpoint::load_weights(file, *store_, weights, adapter);
  Adapter* attached = components_->adapter();
  if (attached == nullptr || !attached->can_merge()) return;
  attached->merge(reads);  // drawing then costs what it costs without
  if (reads) store_->refresh_compute_copy();
}

const train::StageSettings& Generator::stage() const {
  return config_.stages[config_.stage_of(description_.state)];
}

void Generator::set_sampler(const ConfigTree& settings) {
  own_sampler_ = !components_->set_sampler(settings);
}

Request Generator::default_request() const {
  Request request;
  const train::SampleSettings& samples = stage().sample;
  request.prompts = samples.prompts;
  request.resolution = stage().resolution;
  request.sizes = sizes_of(samples.aspects, request.resolution);
  request.seed = samples.seed;
  request.guidance = samples.guidance;
  request.steps = own_sampler_ ? static_cast<int>(samples.steps) : 0;
  return request;
}

std::vector<PictureSize> Generator::sizes_of(const std::vector<double>& aspects,
                                             std::int64_t resolution) const {
  return bucket_sizes(*components_, resolution, aspects);
}

void Generator::set_positions(const Request& request) {
  // A larger picture spans the range that the stage's own did.
  const double growth = static_cast<double>(request.resolution) / static_cast<double>(stage().resolution);
  train::StageSettings grown = stage();
  grown.resolution = request.resolution;
  grown.position_scale *= growth;
  components_->backbone().set_positions(train::positions_of(grown, *components_));
}

std::vector<Picture> Generator::generate(const Request& request, const comm::Communicator& world) {
  set_positions(request);
  return generate::generate(components_->backbone(), *components_, request, world);
}

std::vector<Picture> Generator::generate(const Request& request) {
  set_positions(request);
  return generate::generate(components_->backbone(), *components_, request);
}

}  // namespace tessera::generate
