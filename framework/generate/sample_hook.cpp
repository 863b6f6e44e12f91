#include "generate/sample_hook.hpp"

#include "generate/generate.hpp"
#include "io/image_file.hpp"

namespace tessera::generate {

io::Image sample_grid(const train::SampleRequest& wanted) {
  Request request;
  request.prompts = wanted.settings.prompts;
  request.resolution = wanted.resolution;
  request.sizes = bucket_sizes(wanted.components, wanted.resolution, wanted.settings.aspects);
  for (const std::string& file : wanted.settings.controls) request.controls.push_back(io::read_image(file));
  request.seed = wanted.settings.seed;
  request.guidance = wanted.settings.guidance;
  request.steps = static_cast<int>(wanted.settings.steps);
  const std::vector<Picture> pictures =
      generate(wanted.components.backbone(), wanted.components, request, wanted.world);
  if (wanted.world.rank() != 0) return {};
  return grid_of(pictures, "step " + std::to_string(wanted.global_step));
}

}  // namespace tessera::generate
