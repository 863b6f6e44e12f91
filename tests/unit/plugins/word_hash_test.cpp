// Text encoder "word-hash": a word's vector, and what its place in the caption adds to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "plugin/assembly.hpp"
#include "plugin/slots/text_encoder.hpp"

namespace tessera::test {
namespace {

constexpr std::size_t width = 16;

std::unique_ptr<TextEncoder> encoder(const std::string& settings = {}) {
  static const Registry registry = Registry::with_installed_plugins();
  Assembly assembly(
      registry, ConfigTree::parse("[text_encoder]\nname = \"word-hash\"\nwidth = 16\nlength = 6\n" + settings,
                                  "text.toml"));
  return assembly.make<TextEncoder>("text_encoder", {});
}

using Vector = std::vector<float>;

std::vector<Vector> tokens(const TextEncoder& encoder, const std::string& caption) {
  const EncodedText text = encoder.encode(caption);
  std::vector<Vector> all;
  for (std::int64_t i = 0; i < text.real_tokens; ++i) {
    const auto begin = text.features.begin() + i * static_cast<std::ptrdiff_t>(width);
    all.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(width));
  }
  return all;
}

TEST(WordHash, without_context_a_caption_is_a_bag_of_words) {
  const auto plain = encoder();
  auto one = tokens(*plain, "red heart and blue square"),
       other = tokens(*plain, "Blue heart, and red square");
  ASSERT_EQ(one.size(), 5U);
  EXPECT_NE(one, other);
  EXPECT_EQ(std::set<Vector>(one.begin(), one.end()), std::set<Vector>(other.begin(), other.end()));
}

TEST(WordHash, context_adds_the_sum_of_the_words_before_one_element_further) {
  const auto plain = encoder(), told = encoder("context = 0.3");
  const std::string caption = "red heart and blue square";
  const auto words = tokens(*plain, caption), features = tokens(*told, caption);
  ASSERT_EQ(features.size(), 5U);
  for (std::size_t k = 0; k < words.size(); ++k) {
    for (std::size_t i = 0; i < width; ++i) {
      double expected = words[k][i];
      for (std::size_t before = 0; before < k; ++before)
        expected += 0.3 * static_cast<double>(words[before][(i + width - 1) % width]);
      EXPECT_NEAR(features[k][i], expected, 1e-5) << "word " << k << ", element " << i;
    }
  }
}

TEST(WordHash, context_tells_orders_apart_and_starts_anew_with_every_caption) {
  const auto told = encoder("context = 0.5");
  const auto one = tokens(*told, "red heart and blue square"),
             other = tokens(*told, "blue heart and red square");
  const std::set<Vector> both(one.begin(), one.end());
  for (const Vector& token : other) EXPECT_FALSE(both.contains(token));
  EXPECT_EQ(tokens(*told, "red heart").front(), one.front());
  EXPECT_EQ(tokens(*encoder(), "red").front(), one.front());
}

TEST(WordHash, shards_say_with_what_context_they_were_made) {
  EXPECT_THAT(encoder()->identity(), testing::Not(testing::HasSubstr("context")));  // as before there was one
  EXPECT_NE(encoder("context = 0.5")->identity(), encoder("context = 0.25")->identity());
  EXPECT_NE(encoder("context = 0.5")->identity(), encoder()->identity());
}

}  // namespace
}  // namespace tessera::test
