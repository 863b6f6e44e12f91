// Objective "edm".

#include "edm.hpp"
#include "plugin/abi.hpp"

namespace tessera {
namespace {

Schema edm_schema() {
  Schema schema("edm", "Denoising with EDM's preconditioning, noise distribution and weighting");
  schema.number("p_mean", -0.6)
      .range(-20, 20)
      .help(
          "Mean of ln(sigma) in training (-0.6 at the first resolution, 0 at the second). A stage may "
          "override it.");
  schema.number("p_std", 1.2)
      .range(0, 20)
      .help("Its standard deviation (1.2, then 0.6). A stage may override it.");
  schema.number("sigma_data", 0.9)
      .range(1e-6, 1e6)
      .help("Standard deviation of the latents. The published code uses 0.9; the paper does not say.");
  schema.number("sigma_min", 0.002).range(1e-9, 1e9).help("Smallest noise level that samplers may ask for.");
  schema.number("sigma_max", 80.0).range(1e-9, 1e9).help("Largest noise level that samplers may ask for.");
  return schema;
}

void list(std::vector<Component>& out) {
  out.push_back(
      component<Objective>(edm_schema(), [](const Config& config, const Objective::Spec&, Assembly&) {
        const EdmObjective::Settings settings{
            config.get<double>("p_mean"), config.get<double>("p_std"), config.get<double>("sigma_data"),
            config.get<double>("sigma_min"), config.get<double>("sigma_max")};
        if (settings.sigma_min >= settings.sigma_max) {
          throw Error("sigma_min is not below sigma_max", config.where("sigma_min"), "exchange the two");
        }
        return std::make_unique<EdmObjective>(settings);
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("edm", "1.0", tessera::list)
