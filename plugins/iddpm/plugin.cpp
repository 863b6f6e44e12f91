// Objective "iddpm".

#include "iddpm.hpp"
#include "plugin/abi.hpp"

namespace tessera {
namespace {

Schema iddpm_schema() {
  Schema schema("iddpm", "Noise prediction on a discrete process, with a learned variance (improved DDPM)");
  NoiseSchedule::describe(schema);
  schema.number("bound_weight", 1.0)
      .range(0, 1e6)
      .help("Weight of the variational bound, which trains the variance, against the squared error.");
  schema.integer("guided_channels", 0)
      .range(0, 1024)
      .help(
          "Latent channels that guidance acts on, from the first; 0: all. The published iDDPM and DDIM "
          "samplers guide 3 of 4.");
  schema.number("clip_denoised", 0.0)
      .range(0, 1e6)
      .help(
          "While sampling, every element of a predicted x0 is limited to this on both sides; 0: no limit, "
          "for latents. Pixels lie within 1, and at high noise a small error of the predicted noise is a "
          "large one of x0.");
  return schema;
}

void list(std::vector<Component>& out) {
  out.push_back(
      component<Objective>(iddpm_schema(), [](const Config& config, const Objective::Spec&, Assembly&) {
        return std::make_unique<IddpmObjective>(
            NoiseSchedule::from(config),
            IddpmObjective::Settings{.bound_weight = config.get<double>("bound_weight"),
                                     .guided_channels = config.get<std::int64_t>("guided_channels"),
                                     .clip_denoised = config.get<double>("clip_denoised")});
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("iddpm", "1.0", tessera::list)
