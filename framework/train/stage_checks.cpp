#include "train/stage_checks.hpp"

#include <algorithm>

namespace tessera::train {

std::shared_ptr<const data::Dataset> open_data(const RunConfig& config,
                                               std::span<const RunComponents> stages) {
  const RunComponents& any = stages.front();  // codec and text encoder are those of the run
  data::DatasetExpectation expected;
  expected.codec = any.codec().identity();
  expected.text_encoder = any.text_encoder().identity();
  expected.channels = static_cast<std::uint32_t>(any.codec().channels());
  expected.caption_length = static_cast<std::uint32_t>(any.text_encoder().length());
  expected.caption_width = static_cast<std::uint32_t>(any.text_encoder().width());
  expected.needs_all_positions = std::ranges::any_of(stages, [](const RunComponents& components) {
    const CaptionConditioner* captions = components.backbone().captions();
    return captions != nullptr && captions->needs_all_positions();
  });
  return std::make_shared<const data::Dataset>(config.data.path, expected);
}

void check_stage(const StageSettings& stage, const RunComponents& components, const data::Dataset& dataset,
                 const comm::Communicator& world) {
  const std::string where = "stage '" + stage.name + "'";
  if (stage.batch < world.size()) {
    throw Error("the batch of " + std::to_string(stage.batch) +
                    " pictures is smaller than the number of ranks, " + std::to_string(world.size()) + ".",
                where, "Raise `batch`, or start fewer ranks.");
  }
  const data::Grid grid = dataset.common_grid(dataset.resolution_index(stage.resolution));
  const std::int64_t patch = components.backbone().patch_size();
  if (grid.height % patch != 0 || grid.width % patch != 0) {
    throw Error("latents of " + std::to_string(grid.height) + " x " + std::to_string(grid.width) +
                    " at resolution " + std::to_string(stage.resolution) +
                    " cannot be cut into patches of side " + std::to_string(patch) + ".",
                where, "Choose a resolution whose latent side is a multiple of the backbone's patch.");
  }
  const std::int64_t tokens = grid.height / patch * (grid.width / patch);
  if (stage.mask_ratio > 0 && Masking::kept_tokens(tokens, stage.mask_ratio) < 1) {
    throw Error("a mask_ratio of " + std::to_string(stage.mask_ratio) + " leaves none of the " +
                    std::to_string(tokens) + " patches of a picture.",
                where, "Lower mask_ratio, or raise the resolution.");
  }
}

}  // namespace tessera::train
