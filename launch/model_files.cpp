#include "launch/model_files.hpp"

#include "checkpoint/checkpoint_folder.hpp"
#include "train/adapter_file.hpp"

namespace tessera::launch {

std::filesystem::path checkpoint_file(const std::filesystem::path& given) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(given)) return given;
  const fs::path inner = given / "checkpoints";
  const fs::path folder = fs::is_directory(inner) ? inner : given;
  const auto found = checkpoint::newest_intact(folder);
  if (!found) throw Error("the folder holds no checkpoint", folder.string(), "train first, or name a file");
  return found->file;
}

Option weights_option(const std::string& fallback) {
  return {
      "--weights", Option::Takes::one, "WHICH",
      "average, trained or preferred: the running average where there is one (default " + fallback + ")."};
}

checkpoint::Weights weights_of(const Arguments& arguments, const std::string& command,
                               checkpoint::Weights fallback) {
  if (!arguments.has("--weights")) return fallback;
  const std::string name = arguments.text("--weights");
  try {
    return checkpoint::weights_named(name);
  } catch (const Error& error) {
    throw usage_error("--weights " + name + " is not known", command, error.remedy());
  }
}

AdapterChoice adapter_of(const Arguments& arguments, const std::string& command) {
  AdapterChoice choice;
  choice.adapter = arguments.text("--adapter");
  const checkpoint::Description adapter = checkpoint::describe(choice.adapter, checkpoint::FileKind::adapter);
  const checkpoint::AdapterBase& trained_on = adapter.base.value();
  choice.weights = weights_of(arguments, command, checkpoint::weights_named(trained_on.weights));
  if (arguments.has("--checkpoint")) {
    choice.base = checkpoint_file(arguments.text("--checkpoint"));
  } else if (trained_on.checkpoint.empty()) {
    throw usage_error("the adapter does not say which file it was trained on", command,
                      "name the checkpoint of its model with --checkpoint.");
  } else if (!std::filesystem::exists(trained_on.checkpoint)) {
    throw Error(
        "the checkpoint that this adapter was trained on, " + trained_on.checkpoint + ", is not there.",
        choice.adapter.string(), "Name it with --checkpoint FILE.");
  } else {
    choice.base = trained_on.checkpoint;
  }
  train::warn_of_other_base(adapter, checkpoint::describe(choice.base), choice.base, choice.weights);
  return choice;
}

}  // namespace tessera::launch
