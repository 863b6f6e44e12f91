// Overrides change what they name and nothing else, and never mix two components.

#include "plugin/component_tables.hpp"

#include <gtest/gtest.h>

namespace tessera {
namespace {

ConfigTree parse(const char* text) { return ConfigTree::parse(text, "run.toml"); }

const ConfigTree& base() {
  static const ConfigTree tree = parse(R"(
[model.caption]
name = "attention-pooled"
multiple_of = 32
[model.modulation]
name = "adaln"
activation = "silu"
[model.backbone]
name = "dit"
width = 64
depth = 4
[objective]
name = "edm"
p_mean = 0.0
)");
  return tree;
}

TEST(WithOverrides, AnotherNameReplacesTheTable) {
  const ConfigTree result = with_overrides(base(), parse("[model.caption]\nname = \"none\"\n"));
  EXPECT_EQ(result.table("model.caption").keys(), std::vector<std::string>{"name"});
  EXPECT_EQ(result.get_string("model.caption.name"), "none");
  EXPECT_EQ(result.table("model.modulation"), base().table("model.modulation"));
}

TEST(WithOverrides, TheSameOrNoNameMergesKeys) {
  for (const char* over :
       {"[model.backbone]\ndepth = 2\n", "[model.backbone]\nname = \"dit\"\ndepth = 2\n"}) {
    const ConfigTree result = with_overrides(base(), parse(over));
    EXPECT_EQ(result.table("model.backbone"), parse("name = \"dit\"\nwidth = 64\ndepth = 2\n"));
  }
}

TEST(WithOverrides, NewTablesAreAdded) {
  const ConfigTree over = parse("[model.auxiliary]\nname = \"class-label\"\nclasses = 3\n");
  EXPECT_EQ(with_overrides(base(), over).table("model.auxiliary"), over.table("model.auxiliary"));
  EXPECT_EQ(with_overrides(base(), ConfigTree()), base());
}

TEST(WithOverrides, ErrorsPointAtTheOverride) {
  const ConfigTree over = ConfigTree::parse("[objective]\n\np_mean = 1.0\n", "stage.toml");
  EXPECT_EQ(with_overrides(base(), over).where("objective.p_mean"), "stage.toml:3, key 'objective.p_mean'");
}

}  // namespace
}  // namespace tessera
