// Text encoder "precomputed": caption features that another program computed. It knows their shape and what
// made them, which is all that training needs; encoding new prompts takes that other program's weights.

#include "base/error.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/text_encoder.hpp"

namespace tessera {
namespace {

class PrecomputedText : public TextEncoder {
 public:
  explicit PrecomputedText(const Config& config)
      : width_(config.get<std::int64_t>("width")),
        length_(config.get<std::int64_t>("length")),
        encoder_(config.get<std::string>("encoder")) {}

  std::int64_t width() const override { return width_; }
  std::int64_t length() const override { return length_; }

  EncodedText encode(const std::string& caption) const override {
    throw Error(
        "the prompt '" + caption +
            "' cannot be encoded by the text encoder 'precomputed', which has no weights (" + identity() +
            ")",
        "[text_encoder]",
        "train on shards whose captions were encoded elsewhere, or choose a text encoder that encodes, "
        "such as 'word-hash'");
  }
  std::string identity() const override { return "precomputed encoder=" + encoder_; }

 private:
  std::int64_t width_;
  std::int64_t length_;
  std::string encoder_;
};

void list(std::vector<Component>& out) {
  Schema schema("precomputed", "Caption features computed elsewhere; trains on them, cannot encode prompts");
  schema.integer("width", 1024).range(1, 65536).help("Width of a position (CLIP ViT-H 1024, T5 XXL 4096).");
  schema.integer("length", 77)
      .range(1, 4096)
      .unit("positions")
      .help("Positions per caption, padding included (CLIP 77, MicroDiT's T5 120).");
  schema.string("encoder", "dfn5b-clip-vit-h-14-378")
      .help("What computed the features; compared with what the shards record.");
  out.push_back(component<TextEncoder>(std::move(schema),
                                       [](const Config& config, const TextEncoder::Spec&, Assembly&) {
                                         return std::make_unique<PrecomputedText>(config);
                                       }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("precomputed_text", "1.0", tessera::list)
