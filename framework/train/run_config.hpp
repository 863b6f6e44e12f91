#pragma once
// Invariant: a RunConfig comes from a checked configuration: every key known, of the right type and range,
// and values that must fit together do. The tables of components ([codec], [text_encoder], [control],
// [model.*], [objective], [sampler], hand-overs) are checked when the components are built.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/config.hpp"
#include "base/config_tree.hpp"
#include "checkpoint/checkpoint_folder.hpp"
#include "plugin/run_components.hpp"
#include "train/adamw.hpp"
#include "train/learning_rate.hpp"
#include "train/shard_mode.hpp"

namespace tessera::train {

enum class NonFinite : std::uint8_t { stop, skip };

/// What a sample grid shows.
struct SampleSettings {
  std::vector<std::string> prompts;
  std::uint64_t seed = 0;
  double guidance = 5;
  std::int64_t steps = 0;  ///< 0: the sampler's default
  /// Picture files whose control maps they follow, prompt by prompt in turn.
  std::vector<std::string> controls{};
  /// Height / width of the pictures, prompt by prompt in turn; empty: squares.
  std::vector<double> aspects{};
};

/// What becomes of steps that do not look like training: non_finite, norm_limit and what follows in [run].
struct FaultSettings {
  NonFinite non_finite = NonFinite::stop;  ///< what a NaN or infinite loss or gradient does
  double norm_limit = 0;                   ///< times the running mean of the gradient's norm; 0: none
  std::int64_t skip_limit = 0;             ///< so many steps left out among skip_window: roll back; 0: never
  std::int64_t skip_window = 100;
  std::int64_t rollbacks = 3;  ///< at most; then the run stops
};

/// [run]
struct RunSettings {
  std::uint64_t seed = 18;
  std::string precision = "float32";
  std::int64_t log_every = 10;        ///< steps between lines of metrics
  std::int64_t checkpoint_every = 0;  ///< steps; 0: at the end of each stage only
  checkpoint::Retention keep;         ///< which checkpoints stay
  bool overlap_checkpoints = true;    ///< write them while training goes on
  ShardSettings shard;
  double max_minutes = 0;       ///< stop with a checkpoint and exit code 75 after; 0: no limit
  double job_end_margin = 5;    ///< minutes before the end of a Slurm job to stop; 0: do not
  double watchdog_seconds = 0;  ///< end a job on which nothing is done for so long; 0: never
  FaultSettings faults;
  std::int64_t sample_every = 0;  ///< steps between sample grids; 0: none
  std::int64_t trace_steps = 0;   ///< steps in the timeline; 0: none
  std::int64_t trace_after = 2;   ///< steps before them
  SampleSettings sample;
};

/// Which of a shard's two labels is the class of a picture.
enum class LabelKind : std::uint8_t { subgroup, group };

/// [[data.mix]]: further data that every batch has a share of.
struct MixSettings {
  std::vector<std::string> path;
  double share = 0;   ///< of every batch
  double weight = 1;  ///< of its pictures' losses
  friend bool operator==(const MixSettings&, const MixSettings&) = default;
};

/// [data], or what it and a stage's own `data` table come to
struct DataSettings {
  std::vector<std::string> path;  ///< folders of shards, or shards
  std::vector<MixSettings> mix;   ///< the rest of a batch is of `path`, with the weight 1
  double caption_drop = 0.1;
  LabelKind label = LabelKind::subgroup;
  std::int64_t workers = 1;   ///< reading threads per rank
  std::int64_t prefetch = 3;  ///< micro-batches read ahead
  std::int64_t window_shards = 16;
  bool replace_damaged = false;      ///< a damaged record by another one; false: it ends the run
  std::int64_t damaged_limit = 100;  ///< more in a run end it

  /// Of everything that it trains on, in the order of the parts.
  [[nodiscard]] std::vector<std::string> all_paths() const;
  /// Whether both draw from one sequence.
  [[nodiscard]] bool draws_like(const DataSettings& other) const {
    return path == other.path && mix == other.mix;
  }
};

/// [start]: the checkpoint of another run that this one begins from.
struct StartSettings {
  std::string checkpoint;
  checkpoint::Weights weights = checkpoint::Weights::trained;
  std::string digest;    ///< what the file must have (checkpoint::digest); empty: anything
  std::string where;     ///< of `checkpoint` in the configuration, for errors
  ConfigTree hand_over;  ///< table of the hand-over's component
};

/// One [[stage]].
struct StageSettings {
  std::string name;
  std::int64_t steps = 0;
  std::int64_t resolution = 0;   ///< picture side, pixels; of aspect buckets that of the square one
  bool aspect_buckets = false;   ///< batches of one aspect ratio each
  std::int64_t batch = 0;        ///< over all ranks
  std::int64_t micro_batch = 0;  ///< per rank, at most; 0: the rank's whole share
  double mask_ratio = 0;
  LearningRateSettings learning_rate;  ///< counted from the stage's first step
  double clip_norm = 0;                ///< 0: none
  double ema_smoothing = 0;            ///< 0: none
  std::int64_t ema_start = 0;          ///< step of the stage
  double position_scale = 1;
  /// Table of the component that says what comes from the stage before; the first stage has no use for it.
  /// Counters of steps and of samples go on whatever it says.
  ConfigTree hand_over;
  SampleSettings sample;  ///< those of [run] where the stage says nothing
  DataSettings data;      ///< those of [data] where the stage says nothing
  ConfigTree overrides;   ///< of [model], [objective] and [sampler], under these names
};

/// The positions of a stage's patches: those of its square pictures span what position_scale says.
[[nodiscard]] PositionGrid positions_of(const StageSettings& stage, const RunComponents& components);

struct RunConfig {
  RunSettings run;
  DataSettings data;  ///< of the stages that say nothing else
  AdamWSettings optimizer;
  std::optional<StartSettings> start;
  std::vector<StageSettings> stages;
  ConfigTree tree;  ///< as given

  /// @throws Error on an unknown table or key (with the nearest one), a bad value, no stage, or two stages of
  /// one name.
  [[nodiscard]] static RunConfig resolve(const ConfigTree& tree);
  /// What RunComponents takes to build a stage's model: the tables of the run, the stage's own laid over them
  /// (with_overrides).
  [[nodiscard]] ConfigTree stage_tree(std::size_t stage) const;
  /// The stage whose model a checkpoint of this configuration holds.
  [[nodiscard]] std::size_t stage_of(const checkpoint::RunState& state) const;
  /// With all defaults of the run's own tables and of the components, such that stage_tree() of the result
  /// builds the same components. @param made  RunComponents::resolved() of every stage, and where it was made
  /// the resolved table "hand_over" of the component that leads into the stage.
  /// @throws Error on a table of [model] that no component knows.
  [[nodiscard]] ConfigTree resolved(std::span<const ConfigTree> made) const;
  [[nodiscard]] std::int64_t total_steps() const;

 private:
  void check_model_tables(std::span<const ConfigTree> made) const;

  ConfigTree resolved_;  // [run], [data], [optimizer], [start], [[stage]] with its data
};

[[nodiscard]] const Schema& run_schema();
[[nodiscard]] const Schema& data_schema();
[[nodiscard]] const Schema& mix_schema();
[[nodiscard]] const Schema& optimizer_schema();
[[nodiscard]] const Schema& start_schema();
[[nodiscard]] const Schema& stage_schema();

}  // namespace tessera::train
