// Text encoder "word-hash": every word is a fixed pseudo-random vector, to which those of the words before it
// may be added. Unlimited vocabulary, no weights, the same numbers on every machine.

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
        context_(static_cast<float>(config.get<double>("context"))),
        seed_(static_cast<std::uint64_t>(config.get<std::int64_t>("seed"))) {}

  std::int64_t width() const override { return width_; }
  std::int64_t length() const override { return length_; }

  EncodedText encode(const std::string& caption) const override {
    EncodedText text;
    text.features.assign(static_cast<std::size_t>(width_ * length_), 0.0F);
    const RandomStream stream(RandomKey{.seed = seed_, .purpose = Purpose::word_hash});
    const auto width = static_cast<std::size_t>(width_);
    std::vector<float> before(width);  // the sum of the words so far
    for (const std::string& word : words_of(caption)) {
      if (text.real_tokens == length_) break;
      float* const features = text.features.data() + text.real_tokens * width_;
      fill_normal(stream, hash_text(word), 0, features, width);
      ++text.real_tokens;
      if (context_ > 0) add_context(features, before);
    }
    return text;
  }

  std::string identity() const override {
    return "word-hash width=" + std::to_string(width_) + " length=" + std::to_string(length_) +
           " seed=" + std::to_string(seed_) + (context_ > 0 ? " context=" + std::to_string(context_) : "");
  }

 private:
  /// The words before lie one element further, so that they are not mistaken for the word itself.
  void add_context(float* features, std::vector<float>& before) const {
    const std::vector<float> earlier = before;
    const std::size_t width = before.size();
    for (std::size_t i = 0; i < width; ++i) {
      before[i] += features[i];
      // The product is exact in float64, so that it does not matter whether a machine fuses it with the sum.
      features[i] = static_cast<float>(static_cast<double>(features[i]) +
                                       static_cast<double>(context_) *
                                           static_cast<double>(earlier[(i + width - 1) % width]));
    }
  }

  std::int64_t width_;
  std::int64_t length_;
  float context_;
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
  schema.number("context", 0.0)
      .range(0, 10)
      .help(
          "Weight of the sum of the words before, added to each word. 0 makes a caption a bag of words: "
          "\"red "
          "heart and blue square\" and \"blue heart and red square\" are then the same to models whose "
          "conditioner knows no positions.");
  out.push_back(component<TextEncoder>(std::move(schema),
                                       [](const Config& config, const TextEncoder::Spec&, Assembly&) {
                                         return std::make_unique<WordHash>(config);
                                       }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("word_hash", "1.0", tessera::list)
