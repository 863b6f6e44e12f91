#pragma once
// Invariant: a Generator is built from a checkpoint file and the plugins alone: the configuration inside the
// file says which components its stage has and how they are set.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "checkpoint/checkpoint.hpp"
#include "generate/generate.hpp"
#include "nn/parameter_store.hpp"
#include "plugin/registry.hpp"
#include "train/run_config.hpp"

namespace tessera::generate {

class Generator {
 public:
  /// @param precision  "float32", "bfloat16" or "float64"; empty: that of the run.
  /// @param world  makes it collective: the ranks of a node then keep the weights once, where they can share
  /// memory.
  /// @param adapter  a file that export_adapter() wrote, for this model; empty for none.
  /// @throws Error when a file is damaged or names a component that no plugin offers, or the adapter does not
  /// suit the model.
  Generator(const Registry& registry, const std::filesystem::path& checkpoint,
            checkpoint::Weights weights = checkpoint::Weights::preferred, const std::string& precision = {},
            const std::optional<comm::Communicator>& world = {}, const std::filesystem::path& adapter = {});

  /// Settings laid over the run's [sampler]; a `name` other than its own replaces it, with that sampler's
  /// defaults. @throws Error on an unknown sampler or a bad setting.
  void set_sampler(const ConfigTree& settings);

  /// The request with what the run's configuration says: resolution of the checkpoint's stage, guidance, seed
  /// and, for its own sampler, steps of its samples.
  [[nodiscard]] Request default_request() const;
  /// bucket_sizes() of the checkpoint's model.
  [[nodiscard]] std::vector<PictureSize> sizes_of(const std::vector<double>& aspects,
                                                  std::int64_t resolution) const;
  /// Another resolution than the stage's keeps the range that positions span.
  [[nodiscard]] std::vector<Picture> generate(const Request& request, const comm::Communicator& world);
  [[nodiscard]] std::vector<Picture> generate(const Request& request);

  [[nodiscard]] const checkpoint::Description& description() const { return description_; }
  [[nodiscard]] const train::RunConfig& config() const { return config_; }
  [[nodiscard]] const train::StageSettings& stage() const;
  [[nodiscard]] const RunComponents& components() const { return *components_; }

 private:
  void set_positions(const Request& request);
  /// What builds the model, with the adapter of a file on it.
  [[nodiscard]] ConfigTree tree_with(const std::filesystem::path& adapter) const;
  /// Every rank calls it; of those that share the weights' memory one reads and merges them.
  void load(const std::filesystem::path& file, checkpoint::Weights weights,
            const std::filesystem::path& adapter, bool reads);

  checkpoint::Description description_;
  train::RunConfig config_;
  std::unique_ptr<RunComponents> components_;
  std::unique_ptr<nn::ParameterStore> store_;
  bool own_sampler_ = true;
};

}  // namespace tessera::generate
