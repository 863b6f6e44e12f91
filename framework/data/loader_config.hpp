#pragma once
// Invariant: with the data set, a LoaderConfig says everything about the batches of a run from one step on:
// which records they hold, in what order, and how a rank reads its share of them.

#include <cstdint>
#include <vector>

#include "data/mixture.hpp"

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

}  // namespace tessera::data
