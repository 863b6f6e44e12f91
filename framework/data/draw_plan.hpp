#pragma once
// Invariant: a DrawPlan is a pure function from (configuration, step, rank, micro-batch) to the records of
// that micro-batch. It reads no record, and finds any step in O(log) time of no earlier one (O(shards) for
// the first of an epoch): a run of any length resumes at once. Over all ranks the micro-batches of a step are
// exactly the draws of its global batch.
//
// How often a record is drawn (proofs in order.hpp and batch_plan.hpp), for N records, whatever the numbers
// of ranks, stages and resumes:
// - one part (paths side by side in one list are one part: data sets mixed by their sizes): after k epochs,
//   k N draws, each record exactly k times;
// - aspect buckets: by the end of epoch k each record of a bucket k or k - 1 times, if the bucket has at
// least
//   B - 1 records;
// - mixed parts with shares of the batch (data sets mixed by weight): a part that gives c samples to each
// step
//   has its own epochs of N_p records; after s steps each of its records was drawn floor(s c / N_p) times or
//   once more.

#include <cstdint>
#include <optional>
#include <vector>

#include "data/batch_plan.hpp"
#include "data/dataset.hpp"
#include "data/loader_config.hpp"
#include "data/order.hpp"

namespace tessera::data {

/// The records of a rank's micro-batch.
struct MicroDraws {
  std::uint64_t step = 0;
  std::uint32_t micro = 0;     ///< index among the rank's micro-batches of this step
  std::uint64_t position = 0;  ///< of the first sample in the global batch; the others follow
  std::uint32_t bucket = 0;    ///< index into Dataset::buckets(); 0 without buckets
  Grid grid;                   ///< of all its latents
  std::vector<Draw> draws;
  std::vector<double> weights;  ///< of the samples' losses
};

/// Not for concurrent use; copies are independent, equal, and share what they have in common.
class DrawPlan {
 public:
  /// @param dataset  outlives the plan. It may be one whose shards are not there (ShardIndex).
  /// @throws Error when the batch is empty or smaller than the number of ranks, the resolution is missing,
  /// the records differ in aspect ratio and buckets are not asked for, or the earlier steps drew more than
  /// first_draw.
  DrawPlan(const Dataset& dataset, const LoaderConfig& config);

  /// Micro-batch `task` of this rank, counted from the first one of config.first_step.
  void find(std::uint64_t task, MicroDraws& found);
  /// Another record of the same part in the place of a sample whose own is damaged; it follows from the seed,
  /// the number of the draw and `attempt` alone. @param sample  of the micro-batch
  [[nodiscard]] Draw replacement(const MicroDraws& micro, std::size_t sample, std::uint32_t attempt) const;
  /// Micro-batches of this rank in every step.
  [[nodiscard]] std::uint32_t micro_batches() const { return micros_; }
  /// How many shards it pays to hold open: those of a window, and of the next one that has begun. Only a
  /// batch of an aspect bucket of which a window has fewer records passes through more, each for these few.
  [[nodiscard]] std::size_t shards_to_hold() const;

 private:
  /// The records that batches are made of: an aspect bucket, a part of a mixture, or the whole data set.
  struct Part {
    Grid grid;
    std::uint32_t first_shard;                      ///< of the data set; `order` counts from there
    const std::vector<std::uint64_t>* shard_first;  ///< null: the shards hold nothing else
    DataOrder order;
  };
  /// Samples [begin, end) of a batch: draws of one part from `first_draw` on.
  struct Piece {
    std::size_t part;
    std::uint64_t begin, end, first_draw;
  };
  /// A draw of the part as one of the data set.
  [[nodiscard]] static Draw in_dataset(const Part& part, Draw draw);
  void make_parts(const Dataset& dataset);
  void add_part(Grid grid, std::vector<std::uint64_t> shard_records, std::size_t first_shard,
                const std::vector<std::uint64_t>* shard_first);
  void plan();
  void plan_mixture();
  /// What a step's batch is made of, in order of its samples.
  [[nodiscard]] std::vector<Piece> pieces(std::uint64_t step) const;
  /// Draws of the stages before this one. @throws Error when these are more than first_draw.
  [[nodiscard]] std::uint64_t drawn_earlier() const;

  LoaderConfig config_;
  std::vector<Part> parts_;
  std::optional<BatchPlan> plan_;
  std::uint64_t first_planned_ = 0;  // the plan's number of first_step
  std::vector<Piece> mixed_;         // of first_step, when parts are mixed
  DrawRange share_;                  // of the global batch, from 0
  std::uint32_t micros_;
};

}  // namespace tessera::data
