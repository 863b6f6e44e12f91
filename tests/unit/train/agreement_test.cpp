#include "train/agreement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::train {
namespace {

using testing::HasSubstr;
using testing::Not;

RankFacts rank(const std::string& node, const std::string& batch, const std::string& plugin = "1.0") {
  Facts facts{{"stage.0.batch", batch}};
  if (!plugin.empty()) facts.emplace_back("plugin dit", plugin);
  return {node, facts};
}

TEST(Agreement, NamesTheFewAgainstTheMany) {
  EXPECT_EQ(differences({rank("A", "32"), rank("A", "32"), rank("B", "32")}), "");
  EXPECT_EQ(differences({rank("A", "32"), rank("A", "32"), rank("B", "32"), rank("B", "64")}),
            "rank 3 (node B): stage.0.batch = 64, others 32");
  EXPECT_EQ(differences({rank("A", "64"), rank("B", "32"), rank("B", "32")}),
            "rank 0 (node A): stage.0.batch = 64, others 32");
  EXPECT_EQ(differences({rank("A", "1"), rank("B", "2"), rank("B", "2"), rank("A", "1")}),
            "rank 1 (node B) and 1 more: stage.0.batch = 2, others 1");
}

TEST(Agreement, NamesWhatARankLacksAndEveryDifference) {
  EXPECT_EQ(
      differences({rank("A", "32"), rank("B", "8", ""), rank("A", "32")}),
      "rank 1 (node B): stage.0.batch = 8, others 32\n  rank 1 (node B): plugin dit = (none), others 1.0");
  std::vector<RankFacts> ranks(2);
  for (int i = 0; i < 20; ++i) {
    for (int r = 0; r < 2; ++r) ranks[r].facts.emplace_back("key" + std::to_string(i), std::to_string(r));
  }
  EXPECT_THAT(differences(ranks), HasSubstr("and 12 more differences"));
}

TEST(Agreement, ComparesSettingsByTheirPathsAndLeavesOutWhatMayDiffer) {
  const ConfigTree tree = ConfigTree::parse(R"(
[data]
path = ["a", "b"]
workers = 3
caption_drop = 0.25
[[stage]]
name = "one"
[[stage]]
name = "two"
model = { backbone = { depth = 4 } }
)",
                                            "run.toml");
  std::string text;
  const Facts facts = facts_of_run(tree, {}, Registry());
  for (const auto& [name, value] : facts) text += name + " = " + value + "\n";
  EXPECT_THAT(text, HasSubstr("data.caption_drop = 0.25\n"));
  EXPECT_THAT(text, HasSubstr("stage.1.model.backbone.depth = 4\n"));
  EXPECT_THAT(text, HasSubstr("stage.0.name = \"one\"\n"));
  EXPECT_THAT(text, Not(HasSubstr("workers")));
  EXPECT_THAT(text, Not(HasSubstr("path")));
  EXPECT_THAT(text, HasSubstr("oneDNN = "));
  EXPECT_THAT(text, HasSubstr("libtessera = "));
  EXPECT_THAT(text, Not(HasSubstr("file ?")));
}

}  // namespace
}  // namespace tessera::train
