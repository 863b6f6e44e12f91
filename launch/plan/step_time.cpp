#include "launch/plan/step_time.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tessera::launch {
namespace {

constexpr double kPieceBytes = 4.0 * (1 << 20);  // comm::piece_bytes

double rounds(std::int64_t members) {
  return static_cast<double>(std::bit_width(static_cast<std::uint64_t>(members - 1)));
}

double part_moved(std::int64_t members) {
  return static_cast<double>(members - 1) / static_cast<double>(members);
}

}  // namespace

StepTime step_time(const StepWork& work, const MachineRates& rates, std::int64_t nodes,
                   std::int64_t ranks_per_node) {
  const std::int64_t ranks = nodes * ranks_per_node;
  const std::int64_t share = (work.batch + ranks - 1) / ranks;
  const std::int64_t micro = work.micro_batch == 0 ? share : std::min(work.micro_batch, share);
  const std::int64_t micros = (share + micro - 1) / micro;
  const double gradient_bytes = 4 * work.parameters;
  const double latency = rounds(ranks_per_node) * rates.node_latency + rounds(nodes) * rates.network_latency;

  StepTime time;
  time.compute = static_cast<double>(share) * work.training_flops / rates.flops;
  double whole = std::ceil(gradient_bytes / kPieceBytes) * 2 * latency;
  if (ranks_per_node > 1) whole += 2 * part_moved(ranks_per_node) * gradient_bytes / rates.node_bandwidth;
  if (nodes > 1) whole += 2 * part_moved(nodes) * gradient_bytes / rates.network_bandwidth;
  time.reduction = work.sharded ? whole / 2 : whole;
  time.gather = work.sharded ? whole / 2 : 0;

  const double buckets = std::max(1.0, std::ceil(gradient_bytes / work.bucket_bytes));
  const double backward = time.compute * 2 / 3 / static_cast<double>(micros);
  time.exposed_reduction =
      std::max(time.reduction / buckets, time.reduction - backward * (buckets - 1) / buckets);

  // Gradient, value and both moments are read, all but the gradient written; the average likewise.
  const double bytes = 4 * (work.average ? 9 : 7);
  time.update =
      work.parameters / static_cast<double>(work.sharded ? ranks : ranks_per_node) * bytes / rates.memory;
  time.agreement = 3 * latency;
  return time;
}

}  // namespace tessera::launch
