#include "base/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Schema backbone() {
  Schema s("dit", "Diffusion transformer.");
  s.integer("depth", 16).range(1, 1024).unit("blocks").help("Number of blocks.");
  s.number("dropout", 0.1).range(0, 1).help("Share of captions dropped.");
  s.boolean("bias", false);
  s.string("norm", "layer").choices({"layer", "rms"}).help("Kind of normalisation.");
  s.integers("sizes", {32, 64}).at_least(1);
  s.numbers("betas", {0.9, 0.999}).range(0, 1).length(2, 2);
  s.strings("tags", {});
  s.integer("width").help("Channels per token.");
  return s;
}

/// The message that `action` throws.
template <class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

Config resolved(const std::string& text) {
  return Config::resolve(ConfigTree::parse(text, "run.toml").table("model.backbone"), backbone(), {"plugin"});
}

std::string refusal(const std::string& line) {
  return message_of([&] { resolved("[model.backbone]\nwidth = 8\n\n" + line + "\n"); });
}

TEST(Config, FillsInDefaultsAndKnowsWhatWasGiven) {
  const Config c = resolved("[model.backbone]\nplugin = 'dit'\nwidth = 64\ndropout = 1\nbetas = [0, 0.5]\n");
  EXPECT_EQ(c.get<std::int64_t>("width"), 64);
  EXPECT_EQ(c.get<std::int64_t>("depth"), 16);
  EXPECT_EQ(c.get<double>("dropout"), 1.0);  // an integer where a number is asked for
  EXPECT_EQ(c.get<std::string>("norm"), "layer");
  EXPECT_FALSE(c.get<bool>("bias"));
  EXPECT_THAT(c.get<std::vector<std::int64_t>>("sizes"), ElementsAre(32, 64));
  EXPECT_THAT(c.get<std::vector<double>>("betas"), ElementsAre(0.0, 0.5));
  EXPECT_THAT(c.get<std::vector<std::string>>("tags"), IsEmpty());
  EXPECT_TRUE(c.is_set("width"));
  EXPECT_FALSE(c.is_set("depth"));
  EXPECT_EQ(c.where("width"), "run.toml:3, key 'model.backbone.width'");
}

TEST(Config, UnknownKeysNameTheNearest) {
  EXPECT_THAT(refusal("dpeth = 3"),
              testing::AllOf(HasSubstr("run.toml:4, key 'model.backbone.dpeth'"),
                             HasSubstr("unknown key for 'dit'"), HasSubstr("'depth'?")));
  EXPECT_THAT(refusal("plugn = 'dit'"), HasSubstr("'plugin'?"));  // handled keys count as valid
  EXPECT_THAT(refusal("zzzzzzzz = 1"), HasSubstr("one of: depth, dropout"));
  EXPECT_THAT(refusal("[model.backbone.sub]\nx = 1"), HasSubstr("run.toml:4, key 'model.backbone.sub'"));
}

TEST(Config, WrongTypesNameBoth) {
  EXPECT_THAT(
      refusal("depth = 'ten'"),
      testing::AllOf(HasSubstr("run.toml:4"), HasSubstr("expected an integer, found the string \"ten\""),
                     HasSubstr("1 to 1024"), HasSubstr("(blocks)"), HasSubstr("Number of blocks.")));
  EXPECT_THAT(refusal("depth = 2.0"), HasSubstr("expected an integer, found the number 2.0"));
  EXPECT_THAT(refusal("bias = 1"), HasSubstr("expected a boolean, found the integer 1"));
  EXPECT_THAT(refusal("norm = ['rms']"), HasSubstr("expected a string, found the list [\"rms\"]"));
  EXPECT_THAT(refusal("sizes = [1, 'a']"), HasSubstr("expected a list of integers"));
  EXPECT_THAT(refusal("[model.backbone.depth]"), HasSubstr("expected an integer, found a table"));
  EXPECT_THAT(refusal("[[model.backbone.sizes]]"), HasSubstr("found a list of tables"));
}

TEST(Config, RangesAreInclusiveAndNamed) {
  EXPECT_THAT(refusal("depth = 0"), HasSubstr("0 is outside the allowed range, 1 to 1024"));
  EXPECT_THAT(refusal("depth = 1025"), HasSubstr("1025 is outside"));
  EXPECT_THAT(refusal("dropout = nan"), HasSubstr("nan"));
  EXPECT_THAT(refusal("sizes = [4, 0]"), HasSubstr("entry 1: 0 is outside the allowed range, at least 1"));
  EXPECT_THAT(refusal("betas = [0.9]"), HasSubstr("1 entry given, allowed: 0 to 1, 2 entries"));
  EXPECT_THAT(refusal("norm = 'rmz'"), HasSubstr("'rmz' is not one of 'layer', 'rms'; did you mean 'rms'?"));
  EXPECT_NO_THROW(resolved("[model.backbone]\nwidth = 1\ndepth = 1024\ndropout = 0.0\n"));
}

TEST(Config, MissingRequiredKeysNameTheTable) {
  EXPECT_THAT(message_of([] { resolved("\n[model.backbone]\ndepth = 3\n"); }),
              testing::AllOf(HasSubstr("run.toml:2, key 'model.backbone.width'"),
                             HasSubstr("required and missing"), HasSubstr("Channels per token.")));
  EXPECT_THAT(message_of([] { resolved("x = 1\n"); }), HasSubstr("run.toml, key 'model.backbone.width'"));
  EXPECT_THROW(Config::from_defaults(backbone()), Error);
}

TEST(Config, MistakesOfTheCallerAreErrorsToo) {
  const Config c = resolved("[model.backbone]\nwidth = 64\n");
  EXPECT_THAT(message_of([&] { (void)c.get<double>("width"); }),
              HasSubstr("asks for a number where the schema declares an integer"));
  EXPECT_THAT(message_of([&] { (void)c.get<double>("wdith"); }), HasSubstr("does not declare"));
  Schema twice("s", "");
  twice.integer("a", 1);
  EXPECT_THROW(twice.number("a", 1.0), Error);
  Schema bad("s", "");
  bad.integer("a", 0).range(1, 2);
  EXPECT_THAT(message_of([&] { Config::from_defaults(bad); }), HasSubstr("default is not allowed"));
}

TEST(Config, WritesAllValuesWithHelp) {
  const Config c = resolved("[model.backbone]\nwidth = 64\ntags = ['a\"b']\n");
  EXPECT_EQ(
      c.to_toml(),
      "depth = 16\ndropout = 0.1\nbias = false\nnorm = \"layer\"\nsizes = [32, 64]\nbetas = [0.9, 0.999]\n"
      "tags = [\"a\\\"b\"]\nwidth = 64\n");
  EXPECT_THAT(c.to_toml(true), HasSubstr("# Number of blocks.\ndepth = 16\n"));
  const Config again = Config::resolve(ConfigTree::parse(c.to_toml(true), "again"), backbone());
  EXPECT_EQ(again.to_toml(), c.to_toml());
}

TEST(Schema, ListsItselfForPeople) {
  const Schema s = backbone();
  EXPECT_EQ(s.fields().size(), 8U);
  const Field* depth = s.find("depth");
  ASSERT_NE(depth, nullptr);
  EXPECT_EQ(kind_name(depth->kind()), "integer");
  EXPECT_EQ(to_toml_text(*depth->fallback()), "16");
  EXPECT_EQ(depth->allowed_text(), "1 to 1024");
  EXPECT_EQ(depth->unit(), "blocks");
  EXPECT_TRUE(s.find("width")->required());
  EXPECT_EQ(s.find("norm")->allowed_text(), "one of 'layer', 'rms'");
}

TEST(NearestWord, SwapsDropsAndRefusesTheFar) {
  const std::vector<std::string> words = {"depth", "width", "learning_rate"};
  EXPECT_EQ(nearest_word("dpeth", words), "depth");
  EXPECT_EQ(nearest_word("widht", words), "width");
  EXPECT_EQ(nearest_word("learn_rate", words), "learning_rate");
  EXPECT_FALSE(nearest_word("optimizer", words));
  EXPECT_FALSE(nearest_word("ab", {"cd"}));
  EXPECT_FALSE(nearest_word("", {"cd"}));
}

}  // namespace
}  // namespace tessera
