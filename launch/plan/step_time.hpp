#pragma once
// Invariant: every term of a step's time is one formula of few numbers, written here and nowhere else. What
// the numbers are is a matter of the machine: a vendor's figures, or those that step_bench measures.
//
// A step of a global batch B on n nodes of g ranks, W = n g, with P trained parameters of 4 bytes, G = 4 P:
//
//   T = C + E + U + A + X
//   C  compute      ceil(B / W) pictures of 3 forward passes each, at the rate of a rank; the rank with most
//                   pictures holds up the others.
//   R  reduction    of the gradients, in pieces of 4 MiB: bandwidth and latency of reduce-scatter and
//                   all-gather by halves (Rabenseifner 2004; Thakur, Rabenseifner, Gropp 2005), first among
//                   the ranks of a node, then among nodes, each moving G once over its own links:
//                     R = 2 (g-1)/g G / b_node + 2 (n-1)/n G / b_net
//                         + ceil(G / 4 MiB) 2 (ceil(log2 g) a_node + ceil(log2 n) a_net)
//   E  of it seen   the rest overlaps the backward D = 2/3 C / micro-batches of the last micro-batch, in
//   which
//                   k buckets become ready one after another:  E = max(R / k, R - D (k-1)/k).
//                   The last bucket is ready when backward ends, so R / k is always seen.
//   U  update       bytes of AdamW per parameter that a rank updates, at the bandwidth of its memory. The
//                   ranks of a node share the update: each has P / g parameters, or P / W sharded.
//   A  all-gather   of updated parameters, sharded only (in exchange R is halved: a reduce-scatter):
//                   half of R, and nothing to overlap it with.
//   X  agreement    three exchanges of a few bytes (loss, norm, end of step): 3 (log2 g a_node + log2 n
//   a_net).
//
// Left out: reading data (it goes on beside the step), checkpoints, samples, and uneven ranks.

#include <cstdint>

namespace tessera::launch {

/// Per second, in bytes or floating-point operations; latencies in seconds.
struct MachineRates {
  double flops = 0;           ///< of one rank, as training reaches them
  double memory = 0;          ///< of one rank, reading and writing
  double node_bandwidth = 0;  ///< of one rank to the others of its node, one way
  double node_latency = 0;
  double network_bandwidth = 0;  ///< of a node to others, all its links, one way
  double network_latency = 0;
};

struct StepWork {
  double training_flops = 0;  ///< of a picture, forward and backward
  std::int64_t batch = 0;
  std::int64_t micro_batch = 0;  ///< at most, per rank; 0: the rank's share
  double parameters = 0;         ///< trained
  bool average = false;          ///< a running average of the weights is kept
  bool sharded = false;          ///< the optimizer's state is divided among all ranks
  double bucket_bytes = 25.0 * (1 << 20);
};

/// Seconds.
struct StepTime {
  double compute = 0;
  double reduction = 0;          ///< all of it
  double exposed_reduction = 0;  ///< after backward
  double update = 0;
  double gather = 0;
  double agreement = 0;
  [[nodiscard]] double total() const { return compute + exposed_reduction + update + gather + agreement; }
};

/// @param nodes, ranks_per_node  at least 1
[[nodiscard]] StepTime step_time(const StepWork& work, const MachineRates& rates, std::int64_t nodes,
                                 std::int64_t ranks_per_node);

}  // namespace tessera::launch
