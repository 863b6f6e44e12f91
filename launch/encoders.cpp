#include "launch/encoders.hpp"

#include "plugin/slots/backbone.hpp"

namespace tessera::launch {
namespace {

ConfigTree run_of(const Arguments& arguments) {
  const std::vector<std::string> files = arguments.texts("--config");
  return ConfigTree::load({files.begin(), files.end()});
}

ConfigTree tree_of(const ConfigTree& run, const Arguments& arguments, const std::string& command,
                   const std::string& codec) {
  ConfigTree tree;
  tree.set("codec.name", FieldValue(codec));
  tree.set("text_encoder.name", FieldValue(std::string("word-hash")));
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
    : run_(run_of(arguments)), assembly_(registry, tree_of(run_, arguments, command, codec)) {}

std::optional<std::int64_t> EncoderChoice::token_side(const Codec& codec, const TextEncoder& text_encoder) {
  if (!run_.has("model.backbone")) return std::nullopt;
  Assembly model(assembly_.registry(), run_.table("model"));
  const auto backbone = model.make<Backbone>("backbone", {.channels = codec.channels(),
                                                          .caption_width = text_encoder.width(),
                                                          .caption_length = text_encoder.length()});
  return codec.downsampling() * backbone->patch_size();
}

}  // namespace tessera::launch
