// Text encoder "word-hash": every word is a fixed pseudo-random vector. Unlimited vocabulary, no weights, the
// same numbers on every machine.

#include "base/hash.hpp"
#include "base/random.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/text_encoder.hpp"

namespace tessera {
namespace {

/// Runs of letters, digits and non-ASCII bytes, in lower case (ASCII only, so that no locale matters).
std::vector<std::string> words_of(const std::string& caption) {
  std::vector<std::string> words(1);
  for (const char c : caption) {
    const auto byte = static_cast<unsigned char>(c);
    const bool upper = byte >= 'A' && byte <= 'Z';
    const bool word = upper || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte >= 0x80;
    if (word) {
      words.back() += static_cast<char>(upper ? byte + ('a' - 'A') : byte);
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

class WordHash : public TextEncoder {
 public:
  explicit WordHash(const Config& config)
      : width_(config.get<std::int64_t>("width")),
        length_(config.get<std::int64_t>("length")),
        seed_(static_cast<std::uint64_t>(config.get<std::int64_t>("seed"))) {}

  std::int64_t width() const override { return width_; }
  std::int64_t length() const override { return length_; }

  EncodedText encode(const std::string& caption) const override {
    EncodedText text;
    text.features.assign(static_cast<std::size_t>(width_ * length_), 0.0F);
    const RandomStream stream(RandomKey{.seed = seed_, .purpose = Purpose::word_hash});
    for (const std::string& word : words_of(caption)) {
      if (text.real_tokens == length_) break;
      fill_normal(stream, hash_text(word), 0, text.features.data() + text.real_tokens * width_,
                  static_cast<std::size_t>(width_));
      ++text.real_tokens;
    }
    return text;
  }

  std::string identity() const override {
    return "word-hash width=" + std::to_string(width_) + " length=" + std::to_string(length_) +
           " seed=" + std::to_string(seed_);
  }

 private:
  std::int64_t width_;
  std::int64_t length_;
  std::uint64_t seed_;
};

void list(std::vector<Component>& out) {
  Schema schema("word-hash", "Every word a fixed pseudo-random vector; needs no weights");
  schema.integer("width", 64)
      .range(1, 65536)
      .help("Width of a word's vector, standard normal in each element.");
  schema.integer("length", 8)
      .range(1, 4096)
      .unit("words")
      .help("Longer captions are cut, shorter ones end in zeros.");
  schema.integer("seed", 0).at_least(0).help("Chooses the vectors.");
  out.push_back(component<TextEncoder>(std::move(schema),
                                       [](const Config& config, const TextEncoder::Spec&, Assembly&) {
                                         return std::make_unique<WordHash>(config);
                                       }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("word_hash", "1.0", tessera::list)
