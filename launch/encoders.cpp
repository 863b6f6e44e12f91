#include "launch/encoders.hpp"

namespace tessera::launch {
namespace {

ConfigTree tree_of(const Arguments& arguments, const std::string& command, const std::string& codec) {
  ConfigTree tree;
  tree.set("codec.name", FieldValue(codec));
  tree.set("text_encoder.name", FieldValue(std::string("word-hash")));
  const std::vector<std::string> files = arguments.texts("--config");
  const ConfigTree run = ConfigTree::load({files.begin(), files.end()});
  for (const char* table : {"codec", "text_encoder", "control"}) {
    ConfigTree chosen;
    if (run.has(table)) chosen.insert(table, run.table(table));
    tree.merge(chosen);
  }
  if (arguments.has("--codec")) tree.set("codec.name", FieldValue(arguments.text("--codec")));
  if (arguments.has("--text-encoder")) {
    tree.set("text_encoder.name", FieldValue(arguments.text("--text-encoder")));
  }
  if (arguments.has("--control")) tree.set("control.name", FieldValue(arguments.text("--control")));
  for (const std::string& assignment : arguments.texts("--set")) {
    const std::string table = assignment.substr(0, assignment.find('.'));
    if (table != "codec" && table != "text_encoder" && table != "control") {
      throw usage_error("--set " + assignment + " sets neither codec, text encoder nor control map", command,
                        "begin the key with codec., text_encoder. or control.");
    }
    tree.set(assignment);
  }
  return tree;
}

}  // namespace

std::vector<Option> encoder_options() {
  return {
      {"--config", Option::Takes::each, "FILE",
       "Take [codec], [text_encoder] and [control] from a run configuration, so that shards and run agree."},
      {"--codec", Option::Takes::one, "NAME", "Codec of the latents (default pixel)."},
      {"--text-encoder", Option::Takes::one, "NAME", "Text encoder of the captions (default word-hash)."},
      {"--control", Option::Takes::one, "NAME",
       "Keep a control map of every picture, for example canny: what a ControlNet is trained on (default "
       "none)."},
      {"--set", Option::Takes::each, "KEY=VALUE",
       "A setting of these, for example text_encoder.length=8 or control.high=150. Repeatable."},
  };
}

EncoderChoice::EncoderChoice(const Arguments& arguments, const Registry& registry, const std::string& command,
                             const std::string& codec)
    : assembly_(registry, tree_of(arguments, command, codec)) {}

}  // namespace tessera::launch
