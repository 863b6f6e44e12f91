#pragma once
// Invariant: the setting changes where the state of training is, never what a step computes, up to the order
// in which a gradient's sum over the ranks is rounded.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.hpp"
#include "comm/sharding.hpp"

namespace tessera::train {

/// What is split between memories: those of nodes, or of ranks that cannot share one (ZeRO;
/// comm/sharding.hpp). Where all ranks share one memory, everything is there once in any case.
enum class Shard : std::uint8_t {
  none,
  /// Moments, running average and, where the computation needs only their copy in its own type, values:
  /// ZeRO-1.
  optimizer,
  gradients  ///< gradients too: ZeRO-2
};

struct ShardSettings {
  Shard mode = Shard::none;
  std::size_t bucket_bytes =
      comm::Sharding::default_bucket_bytes;  ///< of gradients; a larger one has its own
};

/// @throws Error when `name` is none of the three.
[[nodiscard]] inline Shard shard_named(const std::string& name) {
  if (name == "none") return Shard::none;
  if (name == "optimizer") return Shard::optimizer;
  if (name == "gradients") return Shard::gradients;
  throw Error("there is no sharding '" + name + "'", {}, "Use none, optimizer or gradients.");
}

}  // namespace tessera::train
