#include "generate/generator.hpp"

#include <algorithm>

#include "comm/shared_arena.hpp"

namespace tessera::generate {

Generator::Generator(const Registry& registry, const std::filesystem::path& file, checkpoint::Weights weights,
                     const std::string& precision, const std::optional<comm::Communicator>& world)
    : description_(checkpoint::describe(file)),
      config_(train::RunConfig::resolve(ConfigTree::parse(description_.state.config, file.string()))) {
  components_ = std::make_unique<RunComponents>(registry, config_.tree);
  if (!stage().objective.keys().empty()) components_->set_objective(stage().objective);
  store_ = std::make_unique<nn::ParameterStore>(components_->backbone());
  const std::string named = precision.empty() ? config_.run.precision : precision;
  const bool shared = world && world->size() > 1 && comm::SharedArena::supported(*world);
  const auto arena = [&](const std::string& role, std::int64_t elements, DType type) {
    // Nothing is differentiated here, so gradients stay without memory.
    if (role == "gradients") return Tensor::meta({elements}, type);
    if (!shared) return Tensor::zeros({elements}, type);
    const comm::SharedArena common(*world, static_cast<std::size_t>(elements) * size_of(type),
                                   comm::Placement::shared);
    return Tensor::wrap(common.data(), {elements}, type, common.owner());
  };
  store_->materialise(nn::Precision::named(named), arena);
  if (!shared) {
    checkpoint::load_weights(file, *store_, weights);
    return;
  }
  const comm::Communicator node = world->node();
  node.together([&] {
    if (node.rank() == 0) checkpoint::load_weights(file, *store_, weights);
  });
  node.barrier();
}

const train::StageSettings& Generator::stage() const {
  const auto last = static_cast<std::int64_t>(config_.stages.size()) - 1;
  return config_.stages[static_cast<std::size_t>(std::min(description_.state.stage, last))];
}

void Generator::set_sampler(const ConfigTree& settings) {
  own_sampler_ = !components_->set_sampler(settings);
}

Request Generator::default_request() const {
  Request request;
  request.prompts = config_.run.sample_prompts;
  request.resolution = stage().resolution;
  request.seed = config_.run.sample_seed;
  request.guidance = config_.run.sample_guidance;
  request.steps = own_sampler_ ? static_cast<int>(config_.run.sample_steps) : 0;
  return request;
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
