#include "nn/names.hpp"

#include <gtest/gtest.h>

namespace tessera::nn {
namespace {

TEST(Names, PatternsDescribeTheirEndsPartByPart) {
  const std::string name = "blocks.20.attn.qkv";
  for (const char* pattern : {"qkv", "attn.qkv", "blocks.20.attn.qkv", "blocks.2*.attn.qkv", "*.attn.*", "*",
                              "a*n.q*v*", "**.qkv", "*.*.*.*"}) {
    EXPECT_TRUE(name_matches(name, pattern)) << pattern;
  }
  for (const char* pattern : {"", "kv", "attn", "attn.q", "blocks.*.qkv", "locks.20.attn.qkv",
                              "blocks.1*.attn.qkv", "dit.blocks.20.attn.qkv", "*.*.*.*.*", "q*w", ".qkv"}) {
    EXPECT_FALSE(name_matches(name, pattern)) << pattern;
  }
}

TEST(Names, EndsAreWhatPatternsWithoutStarsMatch) {
  EXPECT_EQ(name_ends("a.b.c"), (std::vector<std::string>{"a.b.c", "b.c", "c"}));
  EXPECT_EQ(name_ends("a"), (std::vector<std::string>{"a"}));
}

TEST(Names, NumbersBecomeStarsForPeople) {
  EXPECT_EQ(name_patterns({"blocks.0.w1", "blocks.11.w1", "blocks.0.w2", "head"}),
            "blocks.*.w1 (2), blocks.*.w2, head");
  EXPECT_EQ(name_patterns({"mlp.0"}), "mlp.*");
  EXPECT_EQ(name_patterns({}), "");
}

}  // namespace
}  // namespace tessera::nn
