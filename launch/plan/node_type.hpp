#pragma once
// Invariant: nothing here is measured; the figures are the vendor's peak and the asker's estimates, and every
// one of them can be replaced on the command line.

#include <string>
#include <vector>

namespace tessera::launch {

struct NodeType {
  std::string name;
  int gpus = 8;
  double peak_tflops = 0;       ///< of one GPU, dense bfloat16
  double memory_gb = 0;         ///< of one GPU
  double dollars_per_hour = 0;  ///< of the node
  double utilisation = 0.3;     ///< of the peak that training reaches
  double memory_gbs = 0;        ///< GB/s of one GPU's memory
  double node_gbs = 0;          ///< GB/s of one GPU to the others of its node, one way
  double network_gbs = 0;       ///< GB/s of a node to others, all its links, one way
  double latency_us = 5;        ///< microseconds of one message between nodes; within a node half of that
};

[[nodiscard]] const std::vector<NodeType>& node_types();
/// @throws Error (usage) naming those there are.
[[nodiscard]] const NodeType& find_node_type(const std::string& name);

}  // namespace tessera::launch
