#pragma once
// Invariant: the micro-batches that a Loader returns are a pure function of the data set, the configuration
// and the step: not of the number of threads, of their speed, or of where the run was resumed. Over all ranks
// they hold exactly the draws of the global batch, each sample with the same caption and drop flag for every
// number of ranks. With aspect buckets every rank's batch of a step is of the same bucket; of a mixture every
// step has the same number of samples of each part. Background threads
// read ahead into a ring of buffers; their errors surface in next(), at the batch where they happened.

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "data/batch_plan.hpp"
#include "data/dataset.hpp"
#include "data/mixture.hpp"
#include "data/order.hpp"

namespace tessera::data {

/// Steps that a run made with one size of batch.
struct EarlierSteps {
  std::uint64_t global_batch = 0;
  std::uint64_t steps = 0;
};

struct LoaderConfig {
  std::int64_t resolution = 0;     ///< nominal side in pixels, one of the data set's
  bool buckets = false;            ///< batches of one aspect ratio each (BatchPlan); false: there is one only
  std::uint64_t global_batch = 0;  ///< B, samples per step over all ranks
  std::uint64_t micro_batch = 0;   ///< at most this many samples per HostBatch; 0 = the rank's whole share
  std::uint64_t rank = 0;
  std::uint64_t ranks = 1;
  std::uint64_t seed = 0;
  std::uint32_t stage = 0;    ///< enters the keys of random draws, not the data order
  std::uint32_t attempt = 0;  ///< likewise
  std::uint64_t first_step = 0;
  std::uint64_t first_draw = 0;  ///< samples that the run drew before first_step: the state to resume from
  /// With buckets: the stages that came before, in order. Their samples count in first_draw; the rest of it
  /// are this stage's. What is not told here is taken to have come in batches of global_batch: then no step
  /// is lost, but at the change of the batch some records of each bucket (fewer than two batches) come once
  /// more or less.
  std::vector<EarlierSteps> earlier{};
  /// Parts of the data set that every batch has its share of; empty: one, all shards. Not with buckets. What
  /// `earlier` says counts here in the same way.
  std::vector<MixturePart> mixture{};
  std::uint32_t downsampling = 1;  ///< picture pixels per latent element along a side (Codec::downsampling)
  double caption_drop = 0;         ///< probability that a sample's drop flag is set
  bool controls = false;           ///< read the control maps too (HostBatch::controls)
  bool half_captions = false;      ///< leave caption features in float16 (HostBatch::half_captions)
  bool verify = true;              ///< check each record's checksum
  /// A record that cannot be read whole leaves its place to another one of its part, which follows from the
  /// seed and the number of the draw alone: the same for every number of ranks and after every resume.
  bool replace_damaged = false;
  std::uint32_t window_shards = 16;
  std::uint32_t prefetch = 3;  ///< buffers in the ring, the one in use included; at least 2
  std::uint32_t threads = 1;
};

/// A rank's micro-batch of n samples in host memory.
struct HostBatch {
  std::uint64_t step = 0;
  std::uint32_t micro = 0;     ///< index among the rank's micro-batches of this step
  std::uint32_t micros = 0;    ///< their number
  std::uint64_t position = 0;  ///< of the first sample in the global batch; the others follow
  std::size_t samples = 0;     ///< n; the last micro-batch may have fewer than the others
  std::uint32_t channels = 0;
  Grid grid;                 ///< of the step's bucket: may change from step to step
  std::uint32_t bucket = 0;  ///< index into Dataset::buckets(); 0 without buckets
  double ratio = 1;          ///< key_ratio of the grid: the aspect ratio that the model is told
  std::uint32_t picture_height = 0, picture_width = 0;  ///< of the bucket, pixels
  std::uint32_t caption_length = 0;
  std::uint32_t caption_width = 0;
  std::vector<float> latents;                 ///< [n, C, h, w]
  std::vector<float> controls;                ///< [n, C, h, w], or empty: latents of the control maps
  std::vector<float> captions;                ///< [n, L, Dt], or empty
  std::vector<std::uint16_t> half_captions;   ///< [n, L, Dt] float16 bits, or empty
  std::vector<std::int32_t> len_real;         ///< [n]
  std::vector<std::uint8_t> drop_caption;     ///< [n], 1 = train this sample without its caption
  std::vector<std::int32_t> group, subgroup;  ///< [n], -1 = none
  std::vector<std::int32_t> width, height;    ///< [n], of the original picture, pixels
  std::vector<double> weight;                 ///< [n], of the sample's loss (MixturePart)
  std::vector<Draw> draws;                    ///< [n], which record each sample is
  std::vector<std::string> damages;           ///< what is wrong with each record that was replaced
};

class Loader {
 public:
  /// @throws Error when the batch is empty or smaller than the number of ranks, the resolution is missing,
  /// the records differ in aspect ratio and buckets are not asked for, or the earlier steps drew more than
  /// first_draw.
  Loader(std::shared_ptr<const Dataset> dataset, const LoaderConfig& config);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next micro-batch, in order of (step, micro), without end; valid until the next call.
  /// @throws Error of the thread that read it: a damaged record (naming shard, record and remedy), a disk
  /// fault.
  [[nodiscard]] const HostBatch& next();
  /// Micro-batches of this rank in every step.
  [[nodiscard]] std::uint32_t micro_batches() const { return micros_; }
  [[nodiscard]] const Dataset& dataset() const { return *dataset_; }

 private:
  struct Slot {
    HostBatch batch;
    bool ready = false;
    std::exception_ptr error;
  };
  /// The records that batches are made of: an aspect bucket, a part of a mixture, or the whole data set.
  struct Part {
    Grid grid;
    std::vector<std::uint64_t> shard_records, shard_first;
  };
  /// Samples [begin, end) of a batch: draws of one part from `first_draw` on.
  struct Piece {
    std::size_t part;
    std::uint64_t begin, end, first_draw;
  };
  [[nodiscard]] std::vector<Part> parts() const;
  [[nodiscard]] std::vector<Part> parts_of_mixture() const;
  void plan();
  void plan_mixture();
  /// What a step's batch is made of, in order of its samples.
  [[nodiscard]] std::vector<Piece> pieces(std::uint64_t step) const;
  /// Draws of the stages before this one. @throws Error when these are more than first_draw.
  [[nodiscard]] std::uint64_t drawn_earlier() const;
  [[nodiscard]] std::vector<DataOrder> orders() const;
  void work();
  void fill(HostBatch& batch, std::uint64_t task, std::vector<DataOrder>& orders) const;
  void fill_sample(HostBatch& batch, std::size_t i) const;
  /// Sample i, of the record that draw `number` of a part gives, or of one in its place.
  void fill_whole_sample(HostBatch& batch, std::size_t i, std::size_t part, std::uint64_t number) const;
  [[nodiscard]] Draw replacement(std::size_t part, std::uint64_t number, std::uint64_t epoch,
                                 std::uint32_t attempt) const;
  /// Sample i of `all`, the batch's latents or those of its control maps.
  void fill_latent(const HostBatch& batch, std::size_t i, const ShardReader& shard, bool control,
                   std::vector<float>& all) const;
  void fill_caption(HostBatch& batch, std::size_t i, const ShardReader& shard) const;

  std::shared_ptr<const Dataset> dataset_;
  LoaderConfig config_;
  std::size_t resolution_;
  std::vector<Part> parts_;
  std::optional<BatchPlan> plan_;
  std::uint64_t first_planned_ = 0;  // the plan's number of first_step
  std::vector<Piece> mixed_;         // of first_step, when parts are mixed
  DrawRange share_;                  // of the global batch, from 0
  std::uint32_t micros_;

  std::mutex mutex_;
  std::condition_variable filled_, freed_;
  std::vector<Slot> slots_;
  std::uint64_t next_task_ = 0;  // to be filled
  std::uint64_t returned_ = 0;   // micro-batches handed out
  std::uint64_t released_ = 0;   // of those, no longer in use
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace tessera::data
