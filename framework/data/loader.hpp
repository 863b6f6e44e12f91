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
#include <string>
#include <thread>
#include <vector>

#include "data/dataset.hpp"
#include "data/draw_plan.hpp"

namespace tessera::data {

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
  /// @throws Error as DrawPlan does, when control maps are asked for that the data lacks, and when the system
  /// does not allow as many open files as there are shards in use at a time.
  Loader(std::shared_ptr<const Dataset> dataset, const LoaderConfig& config);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next micro-batch, in order of (step, micro), without end; valid until the next call.
  /// @throws Error of the thread that read it: a damaged record (naming shard, record and remedy), a disk
  /// fault.
  [[nodiscard]] const HostBatch& next();
  /// Micro-batches of this rank in every step.
  [[nodiscard]] std::uint32_t micro_batches() const { return plan_.micro_batches(); }
  [[nodiscard]] const Dataset& dataset() const { return *dataset_; }

 private:
  struct Slot {
    HostBatch batch;
    bool ready = false;
    std::exception_ptr error;
  };
  /// @param lane  of the timeline
  void work(int lane);
  void fill(HostBatch& batch, std::uint64_t task, DrawPlan& plan) const;
  void fill_sample(HostBatch& batch, std::size_t i) const;
  /// Sample i, of the record that its draw gives, or of one in its place.
  void fill_whole_sample(HostBatch& batch, std::size_t i, const MicroDraws& micro,
                         const DrawPlan& plan) const;
  /// Sample i of `all`, the batch's latents or those of its control maps.
  void fill_latent(const HostBatch& batch, std::size_t i, const ShardReader& shard, bool control,
                   std::vector<float>& all) const;
  void fill_caption(HostBatch& batch, std::size_t i, const ShardReader& shard) const;

  std::shared_ptr<const Dataset> dataset_;
  LoaderConfig config_;
  std::size_t resolution_;
  DrawPlan plan_;

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
