#pragma once
// Invariant: the state after a step is a function of the configuration, the data and the number of ranks; of
// the number of ranks only through the order in which sums are rounded. A run that was stopped at any moment,
// by a signal or a power cut, and resumed on as many ranks ends in the same bits as one that never stopped.
//
// The run folder (DESIGN 15): config.toml (resolved), metrics.jsonl, events.out.tfevents.*, checkpoints/,
// samples/, log.txt; and the requests 'stop' and 'checkpoint' (train/run_requests.hpp).

#include <filesystem>
#include <functional>
#include <iosfwd>

#include "base/error.hpp"
#include "comm/communicator.hpp"
#include "comm/watchdog.hpp"
#include "io/image.hpp"
#include "plugin/registry.hpp"
#include "train/run_config.hpp"

namespace tessera::train {

/// Asks for a grid of samples of the model as it is now.
struct SampleRequest {
  /// The backbone holds the weights to sample with (the running average, when there is one) and the stage's
  /// position scale.
  RunComponents& components;
  const SampleSettings& settings;
  std::int64_t resolution;  ///< picture side, pixels
  nn::Precision precision;
  std::int64_t global_step;
  const comm::Communicator& world;
};

struct Hooks {
  /// Called by all ranks at once, every sample_every steps and at the end of each stage when there are
  /// prompts. Returns the picture to keep on rank 0; what other ranks return is ignored. Empty: no samples.
  std::function<io::Image(const SampleRequest&)> sample;
  /// Where rank 0 keeps one line up to date, if it is a terminal; else null. Plain lines go to the logger at
  /// LogLevel::info in either case, so with a terminal attach the screen to the logger at
  /// LogLevel::warning.
  std::ostream* terminal = nullptr;
  /// What ends a job that hangs ([run] watchdog_seconds). Empty: nothing watches.
  comm::Watchdog::Alarm hangs;
};

/// Trains through all stages. Collective; the main thread of every rank.
/// @param out     the run folder; made when missing.
/// @param resume  go on from the newest intact checkpoint of `out` (from the start when there is none);
/// without
///                it a folder that holds a run already is an Error.
/// @return done, or resume_later with a checkpoint written, when something asked it to stop (RunRequests).
/// @throws Error. A shard's codec and text encoder must be the identity() of the configured ones.
[[nodiscard]] ExitCode train(const RunConfig& config, const Registry& registry,
                             const comm::Communicator& world, const std::filesystem::path& out, bool resume,
                             const Hooks& hooks = {});

}  // namespace tessera::train
