// tessera checkpoint export-adapter, tessera checkpoint merge

#include <iostream>

#include "base/log.hpp"
#include "io/file.hpp"
#include "launch/command.hpp"
#include "launch/model_files.hpp"
#include "launch/table.hpp"
#include "train/adapter_file.hpp"

namespace tessera::launch {
namespace {

/// Does the work on rank 0, whose file it is.
void on_first_rank(const comm::Communicator& world, const std::function<void()>& work) {
  world.together([&] {
    if (world.rank() != 0) return;
    logger().add_stream(std::cerr, LogLevel::warning);
    work();
  });
}

std::int64_t values_in(const checkpoint::Description& description) {
  std::int64_t values = 0;
  for (const checkpoint::TensorEntry& entry : description.tensors) {
    values += static_cast<std::int64_t>(entry.bytes / size_of(entry.type));
  }
  return values;
}

void report(const std::string& what, const std::string& file, const checkpoint::Description& description) {
  std::cout << what << " " << file << ": " << description.tensors.size() << " tensors, "
            << grouped(values_in(description)) << " values, " << io::readable_bytes(description.file_bytes)
            << "\n";
}

ExitCode export_adapter(const Arguments& arguments, const comm::Communicator& world) {
  on_first_rank(world, [&] {
    const std::string out = arguments.text("--out");
    io::make_folders(io::folder_of(out));
    const auto weights = weights_of(arguments, "checkpoint export-adapter", checkpoint::Weights::preferred);
    const checkpoint::Description written =
        train::export_adapter(Registry::with_installed_plugins(),
                              checkpoint_file(arguments.operands().front()), weights, out, world.alone());
    report("adapter", out, written);
    if (!written.base->checkpoint.empty()) std::cout << "trained on " << written.base->checkpoint << "\n";
  });
  return ExitCode::done;
}

ExitCode merge(const Arguments& arguments, const comm::Communicator& world) {
  on_first_rank(world, [&] {
    const std::string out = arguments.text("--out");
    io::make_folders(io::folder_of(out));
    const AdapterChoice choice = adapter_of(arguments, "checkpoint merge");
    report("checkpoint", out,
           train::merge_adapter(Registry::with_installed_plugins(), choice.base, choice.weights,
                                choice.adapter, out, world.alone()));
  });
  return ExitCode::done;
}

}  // namespace

Command export_adapter_command() {
  CommandTable table;
  table.name = "checkpoint export-adapter";
  table.summary = "take the adapter out of a run's checkpoint";
  table.details =
      "A run with a table [model.adapter] keeps all of its model in its checkpoints. The file written here "
      "holds only what was trained, and which checkpoint it was trained on.";
  table.operands = {"CHECKPOINT", "A checkpoint, or a run folder, whose newest intact one is taken.", 1, 1};
  table.options = {
      {"--out", Option::Takes::one, "FILE", "The adapter.", true},
      weights_option("preferred"),
  };
  table.examples = {
      {"tessera checkpoint export-adapter runs/stickers --out stickers.h5", "The newest adapter of a run."},
  };
  return {std::move(table), {}, export_adapter};
}

Command merge_command() {
  CommandTable table;
  table.name = "checkpoint merge";
  table.summary = "make a checkpoint of a model and its adapter";
  table.details =
      "The result is a checkpoint of the model without adapter, to sample and to start other runs from; it "
      "has "
      "neither optimizer state nor running average.";
  table.options = {
      {"--adapter", Option::Takes::one, "FILE", "An adapter.", true},
      {"--checkpoint", Option::Takes::one, "FILE",
       "The model, a checkpoint or a run folder (default: the file that the adapter was trained on)."},
      weights_option("those that the adapter was trained on"),
      {"--out", Option::Takes::one, "FILE", "The checkpoint to write.", true},
  };
  table.examples = {
      {"tessera checkpoint merge --adapter stickers.h5 --out merged.h5", "With the model that it names."},
  };
  return {std::move(table), {}, merge};
}

}  // namespace tessera::launch
