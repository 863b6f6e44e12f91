#pragma once
// Invariant: the model under test is assembled from plugins, as training does it; only the translation of
// the reference's configuration is special.

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "fixture.hpp"
#include "nn/parameter_store.hpp"
#include "plugin/assembly.hpp"
#include "plugin/slots/adapter.hpp"
#include "plugin/slots/objective.hpp"
#include "plugin/slots/sampler.hpp"

namespace tessera::parity {

struct ReferenceModel {
  nlohmann::json config;  ///< the whole config_json
  std::unique_ptr<Assembly> assembly;
  std::unique_ptr<Backbone> backbone;
  std::unique_ptr<Adapter> adapter;      ///< null where the configuration names none
  std::unique_ptr<Objective> objective;  ///< likewise
  std::unique_ptr<Sampler> sampler;      ///< likewise
  std::unique_ptr<nn::ParameterStore> store;
};

/// The configuration tree that describes a reference's config_json.
[[nodiscard]] ConfigTree microdit_configuration(const nlohmann::json& config);
[[nodiscard]] ConfigTree pixart_configuration(const nlohmann::json& config);
/// PixArt's positions span [0, base / lewei_scale) on any grid.
[[nodiscard]] PositionGrid pixart_positions(const nlohmann::json& config);

/// Builds the model of a fixture and loads its parameters and buffers.
/// @throws Error when the parameters of the file and of the model are not the same set of names and shapes.
[[nodiscard]] ReferenceModel build_model(const Fixture& fixture, const Registry& registry,
                                         const nn::Precision& precision);

}  // namespace tessera::parity
