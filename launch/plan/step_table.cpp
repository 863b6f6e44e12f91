#include "launch/plan/step_table.hpp"

#include <algorithm>
#include <cstdio>

#include "launch/plan/step_time.hpp"
#include "launch/table.hpp"

namespace tessera::launch {
namespace {

std::string milliseconds(double seconds) {
  char text[48];
  std::snprintf(text, sizeof text, seconds < 0.1 ? "%.2f" : "%.0f", 1e3 * seconds);
  return text;
}

std::string rounded(double value) { return grouped(static_cast<std::int64_t>(value + 0.5)); }

MachineRates rates_of(const NodeType& node) {
  return {.flops = node.peak_tflops * 1e12 * node.utilisation,
          .memory = node.memory_gbs * 1e9,
          .node_bandwidth = node.node_gbs * 1e9,
          .node_latency = node.latency_us / 2 * 1e-6,
          .network_bandwidth = node.network_gbs * 1e9,
          .network_latency = node.latency_us * 1e-6};
}

}  // namespace

std::string step_table(const Plan& plan, const NodeType& node, std::int64_t nodes, bool sharded) {
  std::string text;
  for (const StagePlan& stage : plan.stages) {
    const ModelPlan& model = plan.models[stage.model];
    const StepWork work{.training_flops = 3 * stage.forward.flops(),
                        .batch = stage.settings->batch,
                        .micro_batch = stage.settings->micro_batch,
                        .parameters = static_cast<double>(model.parameters.total - model.parameters.frozen),
                        .average = stage.settings->ema_smoothing > 0,
                        .sharded = sharded};
    text += "Milliseconds of a step, " + stage.settings->name + ", " + grouped(stage.settings->batch) +
            " pictures" + (sharded ? ", optimizer in shards" : "") + "\n";
    TextTable table({true, true, true, true, true, true, true, true, true, true});
    table.add({"nodes", "ranks", "pictures/rank", "compute", "reduction", "seen", "update", "gather", "step",
               "pictures/s"});
    double one_node = 0;
    std::int64_t most = 0;
    for (std::int64_t n = 1; n <= nodes; n = n < nodes ? std::min(2 * n, nodes) : n + 1) {
      const std::int64_t ranks = n * node.gpus;
      if (ranks > work.batch) break;
      most = n;
      const StepTime time = step_time(work, rates_of(node), n, node.gpus);
      const double rate = static_cast<double>(work.batch) / time.total();
      if (n == 1) one_node = rate;
      char efficiency[48];
      std::snprintf(efficiency, sizeof efficiency, " (%.0f %%)",
                    100 * rate / one_node / static_cast<double>(n));
      table.add({grouped(n), grouped(ranks), grouped((work.batch + ranks - 1) / ranks),
                 milliseconds(time.compute), milliseconds(time.reduction),
                 milliseconds(time.exposed_reduction), milliseconds(time.update), milliseconds(time.gather),
                 milliseconds(time.total()), rounded(rate) + efficiency});
    }
    text += table.text();
    if (most < nodes) {
      text += "  Its batch has fewer pictures than " + grouped(nodes) + " nodes have ranks.\n";
    }
    text += "\n";
  }
  return text;
}

}  // namespace tessera::launch
