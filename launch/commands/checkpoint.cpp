// tessera checkpoint show, tessera checkpoint verify

#include "checkpoint/checkpoint.hpp"

#include <iostream>
#include <map>

#include "io/file.hpp"
#include "launch/command.hpp"
#include "launch/table.hpp"
#include "train/run_config.hpp"

namespace tessera::launch {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t extent : shape) text += (text.empty() ? "" : " x ") + std::to_string(extent);
  return text.empty() ? "scalar" : text;
}

/// "backbone dit, caption projection, ...": the model of the checkpoint's stage.
std::string model_text(const std::string& file, const checkpoint::RunState& state) {
  std::string text;
  try {
    const auto config = train::RunConfig::resolve(ConfigTree::parse(state.config, file));
    const ConfigTree model = config.stage_tree(config.stage_of(state)).table("model");
    for (const std::string& slot : model.keys()) {
      text += (text.empty() ? "" : ", ") + slot + " " + model.get_string(slot + ".name", "none");
    }
  } catch (const Error& error) {  // another version's: the rest of the file can be told all the same
    text = "unknown (" + error.summary() + ")";
  }
  return text;
}

void print_state(const std::string& file, const checkpoint::Description& description) {
  const checkpoint::RunState& state = description.state;
  TextTable table;
  table.add({"file", file + " (" + io::readable_bytes(description.file_bytes) + ")"});
  table.add({"stage", std::to_string(state.stage) + " '" + state.stage_name + "', " +
                          grouped(state.stage_step) + " steps done"});
  table.add({"model", model_text(file, state)});
  table.add({"run", grouped(state.global_step) + " steps, " + grouped(state.samples_seen) + " samples seen"});
  table.add(
      {"optimizer", grouped(state.optimizer_updates) + " updates, attempt " + std::to_string(state.attempt)});
  table.add({"average", state.average_active ? "active" : "not started"});
  table.add({"precision", state.precision});
  if (const auto& base = description.base) {
    table.add({"adapter of", (base->checkpoint.empty() ? "a model" : base->checkpoint) + ", " +
                                 base->weights + " weights, digest " + base->digest});
  }
  table.add({"digest", checkpoint::digest(description)});
  std::string plugins;
  for (const std::string& plugin : state.plugins) plugins += (plugins.empty() ? "" : ", ") + plugin;
  table.add({"plugins", plugins});
  struct Group {
    std::int64_t tensors = 0, values = 0;
    std::uint64_t bytes = 0;
  };
  std::map<std::string, Group> groups;
  for (const checkpoint::TensorEntry& entry : description.tensors) {
    Group& group = groups[entry.name.substr(0, entry.name.find('/'))];
    std::int64_t values = 1;
    for (const std::int64_t extent : entry.shape) values *= extent;
    ++group.tensors;
    group.values += values;
    group.bytes += entry.bytes;
  }
  for (const auto& [name, group] : groups) {
    table.add({name, grouped(group.tensors) + " tensors, " + grouped(group.values) + " values, " +
                         io::readable_bytes(group.bytes)});
  }
  std::cout << table.text(0);
}

ExitCode show(const Arguments& arguments) {
  const std::string& file = arguments.operands().front();
  const checkpoint::Description description = checkpoint::describe(file, checkpoint::FileKind::either);
  print_state(file, description);
  if (arguments.has("--tensors")) {
    TextTable table({false, false, true});
    for (const checkpoint::TensorEntry& entry : description.tensors) {
      table.add({entry.name, name_of(entry.type), shape_text(entry.shape)});
    }
    std::cout << "\n" << table.text();
  }
  if (arguments.has("--config")) std::cout << "\n" << description.state.config;
  return ExitCode::done;
}

ExitCode verify(const Arguments& arguments) {
  for (const std::string& file : arguments.operands()) {
    const checkpoint::Description description = checkpoint::verify(file, checkpoint::FileKind::either);
    std::cout << file << ": intact, " << description.tensors.size() << " tensors, step "
              << grouped(description.state.global_step) << "\n";
  }
  return ExitCode::done;
}

}  // namespace

Command show_checkpoint_command() {
  CommandTable table;
  table.name = "checkpoint show";
  table.summary = "tell what a checkpoint holds";
  table.operands = {"FILE", "A checkpoint, or an adapter.", 1, 1};
  table.options = {
      {"--tensors", Option::Takes::nothing, "", "List every tensor."},
      {"--config", Option::Takes::nothing, "", "Print the run's resolved configuration, TOML."},
  };
  table.examples = {
      {"tessera checkpoint show runs/quickstart/checkpoints/step-00001000.h5 --config > again.toml",
       "Get back the configuration that a checkpoint was trained with."},
  };
  return {std::move(table), show, {}};
}

Command verify_checkpoint_command() {
  CommandTable table;
  table.name = "checkpoint verify";
  table.summary = "check every byte of checkpoints";
  table.operands = {"FILE",
                    "Checkpoints and adapters; the first damaged one ends the command with exit code 1.", 1,
                    100000};
  table.examples = {
      {"tessera checkpoint verify runs/quickstart/checkpoints/*.h5", "Check all that a run has kept."},
  };
  return {std::move(table), verify, {}};
}

}  // namespace tessera::launch
