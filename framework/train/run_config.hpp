#pragma once
// Invariant: a RunConfig comes from a checked configuration: every key known, of the right type and range,
// and values that must fit together do. The tables of components ([codec], [text_encoder], [model.*],
// [objective], [sampler]) are checked by RunComponents when it builds them.

#include <cstdint>
#include <string>
#include <vector>

#include "base/config.hpp"
#include "base/config_tree.hpp"
#include "plugin/run_components.hpp"
#include "train/adamw.hpp"
#include "train/learning_rate.hpp"

namespace tessera::train {

enum class NonFinite : std::uint8_t { stop, skip };

/// [run]
struct RunSettings {
  std::uint64_t seed = 18;
  std::string precision = "float32";
  std::int64_t log_every = 10;        ///< steps between lines of metrics
  std::int64_t checkpoint_every = 0;  ///< steps; 0: at the end of each stage only
  std::int64_t keep_checkpoints = 2;
  double max_minutes = 0;                  ///< stop with a checkpoint and exit code 75 after; 0: no limit
  NonFinite non_finite = NonFinite::stop;  ///< what a NaN or infinite loss or gradient does
  std::int64_t sample_every = 0;           ///< steps between sample grids; 0: none
  std::vector<std::string> sample_prompts;
  std::uint64_t sample_seed = 0;
  double sample_guidance = 5;
  std::int64_t sample_steps = 0;  ///< 0: the sampler's default
};

/// [data]
struct DataSettings {
  std::vector<std::string> path;  ///< folders of shards, or shards
  double caption_drop = 0.1;
  std::int64_t workers = 1;   ///< reading threads per rank
  std::int64_t prefetch = 3;  ///< micro-batches read ahead
  std::int64_t window_shards = 16;
};

enum class HandOver : std::uint8_t { full, weights };

/// One [[stage]].
struct StageSettings {
  std::string name;
  std::int64_t steps = 0;
  std::int64_t resolution = 0;   ///< picture side, pixels
  std::int64_t batch = 0;        ///< over all ranks
  std::int64_t micro_batch = 0;  ///< per rank, at most; 0: the rank's whole share
  double mask_ratio = 0;
  LearningRateSettings learning_rate;  ///< counted from the stage's first step
  double clip_norm = 0;                ///< 0: none
  double ema_smoothing = 0;            ///< 0: none
  std::int64_t ema_start = 0;          ///< step of the stage
  double position_scale = 1;
  /// What it takes from the stage before. `full`: weights, moments, their count, and the running average when
  /// both stages keep one; `weights`: the trained weights only (recipes M.F). Counters of steps and of
  /// samples go on either way.
  HandOver hand_over = HandOver::full;
  ConfigTree objective;  ///< overrides of [objective]; empty for none
};

/// The positions of a stage's patches: those of its square pictures span what position_scale says.
[[nodiscard]] PositionGrid positions_of(const StageSettings& stage, const RunComponents& components);

struct RunConfig {
  RunSettings run;
  DataSettings data;
  AdamWSettings optimizer;
  std::vector<StageSettings> stages;
  ConfigTree tree;  ///< as given: what RunComponents takes

  /// @throws Error on an unknown table or key (with the nearest one), a bad value, no stage, or two stages of
  /// one name.
  [[nodiscard]] static RunConfig resolve(const ConfigTree& tree);
  /// With all defaults of the run's own tables and of the components.
  /// @throws Error on a table of [model] that no component knows.
  [[nodiscard]] ConfigTree resolved(const RunComponents& components) const;
  [[nodiscard]] std::int64_t total_steps() const;

 private:
  ConfigTree resolved_;  // [run], [data], [optimizer], [[stage]]
};

[[nodiscard]] const Schema& run_schema();
[[nodiscard]] const Schema& data_schema();
[[nodiscard]] const Schema& optimizer_schema();
[[nodiscard]] const Schema& stage_schema();

}  // namespace tessera::train
