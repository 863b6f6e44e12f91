// tessera plan

#include "launch/plan/plan.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>
#include <utility>

#include "io/file.hpp"
#include "launch/command.hpp"
#include "launch/plan/node_type.hpp"
#include "launch/plan/step_table.hpp"
#include "launch/run_files.hpp"
#include "launch/table.hpp"

namespace tessera::launch {
namespace {

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

/// "2.60 days", "5.1 hours", "12.0 minutes".
std::string duration(double seconds) {
  if (seconds >= 86400) return fixed(seconds / 86400, 2) + " days";
  if (seconds >= 3600) return fixed(seconds / 3600, 1) + " hours";
  return fixed(seconds / 60, 1) + " minutes";
}

/// ", stages a, b" where the stages have different models.
std::string of_stages(const Plan& plan, const ModelPlan& model) {
  return plan.models.size() == 1 ? "" : ", " + model.stages;
}

void print_parameters(const Plan& plan, const ModelPlan& model) {
  const ParameterPlan& parameters = model.parameters;
  std::cout << "Parameters" << of_stages(plan, model) << "\n";
  TextTable table({false, true});
  for (const ParameterPart& part : parameters.parts) table.add({part.name, grouped(part.count)});
  table.add({"total", grouped(parameters.total)});
  if (parameters.frozen > 0) table.add({"of which frozen", grouped(parameters.frozen)});
  if (parameters.experts > 0) {
    table.add({"of which expert matrices", grouped(parameters.experts)});
    table.add({"active for an average token", grouped(parameters.active)});
  }
  std::cout << table.text() << "\n";
}

void print_cost(const Plan& plan) {
  std::cout << "Arithmetic, FLOPs (a multiply-add is two; training counts three times the forward pass)\n";
  TextTable table({false, true, true, true, true, true, true});
  table.add(
      {"stage", "tokens", "kept", "forward of a picture", "of it attention", "stage", "dense dispatch"});
  double total = 0;
  double one_hot_total = 0;
  for (const StagePlan& stage : plan.stages) {
    table.add({stage.settings->name, grouped(stage.tokens), grouped(stage.kept),
               short_number(stage.forward.flops()), short_number(stage.forward.attention),
               short_number(stage.training_flops()), short_number(stage.one_hot_training_flops())});
    total += stage.training_flops();
    one_hot_total += stage.one_hot_training_flops();
  }
  table.add({"all", "", "", "", "", short_number(total), short_number(one_hot_total)});
  std::cout << table.text();
  if (one_hot_total > total) {
    std::cout << "  "
              << folded(
                     "Dense dispatch is how the MicroDiT paper counts: experts fed through products with "
                     "one-hot matrices. "
                     "Tessera gathers the chosen tokens instead (sparse dispatch), which needs " +
                         fixed(100 * (1 - total / one_hot_total), 1) +
                         " % less arithmetic for the same result.",
                     100, 2)
              << "\n";
  }
  std::cout << "\n";
}

constexpr std::array<std::pair<const char*, train::Shard>, 3> shard_modes{
    {{"none", train::Shard::none},
     {"optimizer", train::Shard::optimizer},
     {"gradients", train::Shard::gradients}}};

/// What one memory holds in every mode of [run] shard, and the activations of its ranks.
void print_held(const Plan& plan, std::size_t model, const train::ShardSettings& shard, MemoryLayout layout) {
  std::vector<StateBytes> held;
  std::vector<std::string> head{layout.holders > 1 ? "shard =" : ""};
  for (const auto& [name, mode] : shard_modes) {
    if (layout.holders == 1 && !held.empty()) break;  // there is nobody to share with
    held.push_back(
        held_by(plan.models[model].state, {.mode = mode, .bucket_bytes = shard.bucket_bytes}, layout));
    if (layout.holders > 1) head.push_back(name + std::string(mode == shard.mode ? " (set)" : ""));
  }
  std::vector<bool> right(held.size() + 1, true);
  right.front() = false;
  TextTable table(right);
  if (layout.holders > 1) table.add(head);
  const auto row = [&](const std::string& what, const auto& bytes) {
    std::vector<std::string> cells{what};
    std::uint64_t sum = 0;
    for (const StateBytes& state : held) {
      sum += bytes(state);
      cells.push_back(io::readable_bytes(bytes(state)));
    }
    if (sum > 0) table.add(cells);
  };
  row("values", [](const StateBytes& state) { return state.values; });
  row("copy for products", [](const StateBytes& state) { return state.compute_copy; });
  row("moments", [](const StateBytes& state) { return state.moments; });
  row("running average", [](const StateBytes& state) { return state.average; });
  row("gradients", [](const StateBytes& state) { return state.gradients; });
  row("gradients on their way", [](const StateBytes& state) { return state.travelling; });
  std::uint64_t most = 0;
  const auto ranks = static_cast<std::uint64_t>(layout.ranks);
  for (const StagePlan& stage : plan.stages) {
    if (stage.model != model) continue;
    const std::uint64_t bytes = ranks * stage.activation_bytes;
    most = std::max(most, bytes);
    row("activations, " + stage.settings->name + ", " + (ranks > 1 ? std::to_string(ranks) + " x " : "") +
            std::to_string(stage.micro_batch) + " pictures",
        [&](const StateBytes&) { return bytes; });
  }
  row("in all, largest stage", [&](const StateBytes& state) { return state.all() + most; });
  std::cout << table.text();
}

void print_memory(const Plan& plan, std::size_t model, const train::ShardSettings& shard, std::int64_t nodes,
                  std::int64_t ranks_per_node) {
  const std::string of = of_stages(plan, plan.models[model]);
  const std::int64_t ranks = nodes * ranks_per_node;
  std::cout << "Memory of a rank that shares none, of " << ranks << (ranks == 1 ? " rank" : " ranks") << of
            << "\n";
  print_held(plan, model, shard, {.holders = ranks});
  if (ranks_per_node > 1) {
    std::cout << "\nMemory of a node whose " << ranks_per_node << " ranks share it, of " << nodes
              << (nodes == 1 ? " node" : " nodes") << of << "\n";
    print_held(plan, model, shard, {.holders = nodes, .ranks = ranks_per_node});
  }
  std::cout
      << "  "
      << folded(
             "On CPUs the ranks of a node share memory: values, moments and average are there once, and "
             "on one node gradients too. Between nodes, [run] shard says what is split. Activations are "
             "the peak of a forward and backward pass on shapes; the workspace of vendor libraries is "
             "not in it.",
             100, 2)
      << "\n\n";
}

void print_price(const Plan& plan, const train::RunConfig& config, const NodeType& node, std::int64_t nodes,
                 bool dense) {
  const double rate = static_cast<double>(nodes) * node.gpus * node.peak_tflops * 1e12 * node.utilisation;
  const double price = static_cast<double>(nodes) * node.dollars_per_hour;
  std::cout << "Time and price on " << nodes << " x " << node.name << " (" << node.gpus << " GPUs of "
            << short_number(node.peak_tflops) << " TFLOP/s, " << fixed(100 * node.utilisation, 0)
            << " % of it reached, $" << short_number(node.dollars_per_hour) << " an hour)"
            << (dense ? ", dense dispatch" : "") << "\n";
  TextTable table({false, true, true, true});
  table.add({"stage", "pictures/s", "time", "$"});
  double total = 0;
  for (const StagePlan& stage : plan.stages) {
    const double flops = dense ? stage.one_hot_training_flops() : stage.training_flops();
    const double seconds = flops / rate;
    total += seconds;
    table.add({stage.settings->name, fixed(stage.images() / seconds, 0), duration(seconds),
               grouped(static_cast<std::int64_t>(seconds / 3600 * price + 0.5))});
  }
  table.add({"all", "", duration(total), grouped(static_cast<std::int64_t>(total / 3600 * price + 0.5))});
  std::cout << table.text();
  const auto need = static_cast<double>(plan.most_bytes(config.run.shard, nodes * node.gpus));
  if (node.memory_gb > 0 && need > node.memory_gb * 1e9) {
    std::cout << "  "
              << folded("A rank needs " + io::readable_bytes(static_cast<std::uint64_t>(need)) +
                            ", a GPU has " + short_number(node.memory_gb) +
                            " GB: lower micro_batch of the largest stage, set "
                            "model.backbone.recompute = true" +
                            (config.run.shard.mode == train::Shard::gradients || nodes * node.gpus == 1
                                 ? "."
                                 : ", or [run] shard = \"gradients\"."),
                        100, 2)
              << "\n";
  }
}

ExitCode run(const Arguments& arguments) {
  const train::RunConfig config = train::RunConfig::resolve(read_run_files(arguments));
  if (arguments.has("--smallest-batch")) {
    std::cout << std::ranges::min(config.stages, {}, &train::StageSettings::batch).batch << "\n";
    return ExitCode::done;
  }
  NodeType node = find_node_type(arguments.text("--node", node_types().front().name));
  node.gpus = static_cast<int>(arguments.integer("--gpus", node.gpus, 1, 1024));
  node.peak_tflops = arguments.number("--peak", node.peak_tflops, 1e-3, 1e6);
  node.utilisation = arguments.number("--utilisation", node.utilisation, 1e-3, 1);
  node.memory_gb = arguments.number("--memory", node.memory_gb, 0, 1e6);
  node.dollars_per_hour = arguments.number("--price", node.dollars_per_hour, 0, 1e6);
  node.network_gbs = arguments.number("--network", node.network_gbs, 1e-6, 1e6);
  node.latency_us = arguments.number("--latency", node.latency_us, 0, 1e6);
  const std::int64_t nodes = arguments.integer("--nodes", 1, 1, 100000);

  for (const char* option : {"--gpus", "--peak", "--memory"}) {
    if (arguments.has(option)) node.name = "given node";
  }
  const Registry registry = Registry::with_installed_plugins();
  const Plan plan = make_plan(registry, config, nodes * node.gpus);
  for (const ModelPlan& model : plan.models) print_parameters(plan, model);
  print_cost(plan);
  for (std::size_t model = 0; model < plan.models.size(); ++model)
    print_memory(plan, model, config.run.shard, nodes, node.gpus);
  if (nodes > 1) {
    std::cout << step_table(plan, node, nodes, config.run.shard.mode != train::Shard::none) << "  "
              << folded(
                     "A step is compute + what is seen of the reduction (the rest overlaps backward) + "
                     "update + gather; in brackets the speed against as many single nodes. The formula is "
                     "in launch/plan/step_time.hpp; the network is the node type's, or --network and "
                     "--latency.",
                     100, 2)
              << "\n\n";
  }
  print_price(plan, config, node, nodes, arguments.has("--dense-dispatch"));
  if (config.run.precision != "bfloat16" && !arguments.has("--peak")) {
    std::cout << "  The peak is that of bfloat16, the run computes in " << config.run.precision
              << ": give its peak with --peak.\n";
  }
  return ExitCode::done;
}

}  // namespace

Command plan_command() {
  CommandTable table;
  table.name = "plan";
  table.summary = "parameters, arithmetic, memory, days and price of a run, before it runs";
  table.details =
      "Builds the model of the configuration and runs it on shapes without memory, so the numbers are those "
      "of the model itself. Nothing is trained and no data is needed.";
  table.operands = run_file_operands();
  table.options = {
      set_option(),
      {"--node", Option::Takes::one, "NAME", "Node type: 8xH100, 8xH200, 8xA100 or 1xH100 (default 8xH100)."},
      {"--nodes", Option::Takes::one, "N", "Number of nodes (default 1)."},
      {"--gpus", Option::Takes::one, "N", "GPUs, and ranks, of a node."},
      {"--peak", Option::Takes::one, "TFLOPS", "Peak of a GPU in bfloat16, TFLOP/s."},
      {"--utilisation", Option::Takes::one, "X", "Share of the peak that training reaches, 0 to 1."},
      {"--memory", Option::Takes::one, "GB", "Memory of a GPU."},
      {"--network", Option::Takes::one, "GB/S", "Bandwidth of a node to others, all links, one way."},
      {"--latency", Option::Takes::one, "US", "Of one message between nodes, microseconds."},
      {"--price", Option::Takes::one, "DOLLARS", "Price of a node for an hour."},
      {"--smallest-batch", Option::Takes::nothing, "",
       "Print only the pictures in the run's smallest batch: more ranks than that cannot work."},
      {"--dense-dispatch", Option::Takes::nothing, "",
       "Time and price with experts fed through one-hot products, as the paper counts."},
  };
  table.examples = {
      {"tessera plan configs/microdit/xl-2.toml", "The paper's run on eight H100."},
      {"tessera plan configs/microdit/xl-2.toml --nodes 16", "And what a step takes on 1 to 16 nodes."},
      {"tessera plan configs/microdit/tiny-2.toml --node 8xA100 --utilisation 0.35 --price 12",
       "Another machine."},
  };
  return {std::move(table), run, {}};
}

}  // namespace tessera::launch
