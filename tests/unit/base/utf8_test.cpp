#include "base/utf8.hpp"

#include <gtest/gtest.h>

#include <string>

namespace tessera {
namespace {

TEST(Utf8, sequences_of_every_length_are_told_from_broken_ones) {
  EXPECT_EQ(utf8_length("a"), 1U);
  EXPECT_EQ(utf8_length(std::string_view("\0", 1)), 1U);
  EXPECT_EQ(utf8_length("\u00e9"), 2U);
  EXPECT_EQ(utf8_length("\u20ac"), 3U);
  EXPECT_EQ(utf8_length("\U0001F600"), 4U);
  EXPECT_EQ(utf8_length("\xF4\x8F\xBF\xBF"), 4U) << "U+10FFFF, the last";
  for (const char* broken : {"\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x9F\xBF", "\xED\xA0\x80",
                             "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", ""}) {
    EXPECT_EQ(utf8_length(broken), 0U) << broken;
  }
}

TEST(Utf8, the_prefix_ends_before_the_first_broken_byte_wherever_it_is) {
  for (std::size_t at = 0; at < 40; ++at) {
    std::string text(40, 'a');
    EXPECT_EQ(utf8_prefix(text), 40U);
    text[at] = '\xFF';
    EXPECT_EQ(utf8_prefix(text), at);
    text.replace(at, 1, "\u20ac");
    EXPECT_EQ(utf8_prefix(text), 42U);
    EXPECT_EQ(count_code_points(text), 40U);
    EXPECT_EQ(utf8_prefix(text.substr(0, at + 2)), at) << "cut inside a sequence";
  }
  EXPECT_EQ(utf8_prefix(""), 0U);
  EXPECT_EQ(count_code_points("\x80\x80"), 0U);
}

}  // namespace
}  // namespace tessera
