#include "base/config_tree.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "base/config.hpp"
#include "base/error.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

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

/// A folder of its own for each test, removed at the end.
class ConfigFiles : public testing::Test {
 protected:
  ConfigFiles()
      : folder_(fs::path(testing::TempDir()) /
                ("tessera_config_" +
                 std::string(testing::UnitTest::GetInstance()->current_test_info()->name()))) {
    fs::create_directories(folder_ / "sub");
  }
  ~ConfigFiles() override { fs::remove_all(folder_); }
  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  fs::path folder_;
};

TEST_F(ConfigFiles, LaterFilesOverrideTableByTable) {
  const auto base =
      write("base.toml", "a = 1\n[t]\nx = 1\ny = 2\n[t.u]\nz = [1, 2]\n[[stage]]\nn = 1\n[[stage]]\nn = 2\n");
  const auto over = write("over.toml", "\n[t]\ny = 3\n[t.u]\nz = [9]\n[[stage]]\nn = 7\n");
  const ConfigTree tree = ConfigTree::load({base, over});
  EXPECT_TRUE(tree ==
              ConfigTree::parse("a = 1\nstage = [{n = 7}]\n[t]\nx = 1\ny = 3\nu.z = [9]", "expected"));
  EXPECT_EQ(tree.where("t.x"), base.string() + ":3, key 't.x'");
  EXPECT_EQ(tree.where("t.y"), over.string() + ":3, key 't.y'");
  EXPECT_EQ(tree.where("stage.0.n"), over.string() + ":7, key 'stage.0.n'");
}

TEST_F(ConfigFiles, IncludesComeFirstAndAreRelativeToTheirFile) {
  write("sub/deep.toml", "a = 1\nb = 1\nc = 1\n");
  write("sub/base.toml", "include = ['deep.toml']\nb = 2\nc = 2\n");
  const ConfigTree tree = ConfigTree::load({write("run.toml", "include = ['sub/base.toml']\nc = 3\n")});
  EXPECT_TRUE(tree == ConfigTree::parse("a = 1\nb = 2\nc = 3\n", ""));
  EXPECT_FALSE(tree.has("include"));
}

TEST_F(ConfigFiles, BadIncludesAndFilesAreErrors) {
  write("a.toml", "include = ['b.toml']\n");
  write("b.toml", "include = ['a.toml']\n");
  EXPECT_THAT(message_of([&] { ConfigTree::load({folder_ / "a.toml"}); }), HasSubstr("in a circle"));
  EXPECT_THAT(message_of([&] { ConfigTree::load({write("c.toml", "\ninclude = 'a.toml'\n")}); }),
              HasSubstr("c.toml:2, key 'include'"));
  EXPECT_THAT(message_of([&] { ConfigTree::load({write("d.toml", "include = ['absent.toml']\n")}); }),
              testing::AllOf(HasSubstr("absent.toml (included by"), HasSubstr("cannot be read")));
  EXPECT_THAT(message_of([&] { ConfigTree::load({folder_}); }), HasSubstr("cannot be read"));
  // the same file twice, without a circle, is fine
  write("leaf.toml", "x = 1\n");
  write("l.toml", "include = ['leaf.toml']\n");
  EXPECT_NO_THROW(ConfigTree::load({write("two.toml", "include = ['leaf.toml', 'l.toml']\n")}));
}

TEST(ConfigTree, SyntaxErrorsCarryTheLine) {
  EXPECT_THAT(message_of([] { ConfigTree::parse("a = 1\nb = = 2\n", "run.toml"); }), HasSubstr("run.toml:2"));
  EXPECT_THAT(message_of([] { ConfigTree::parse("a = 1\na = 2\n", "run.toml"); }), HasSubstr("run.toml:2"));
  EXPECT_THAT(message_of([] { ConfigTree::parse("[t]\nday = 2024-01-01\n", "run.toml"); }),
              HasSubstr("run.toml:2, key 't.day'"));
  EXPECT_THAT(message_of([] { ConfigTree::parse("a = 1\n[\nb = 2\n", "run.toml"); }), HasSubstr("run.toml"));
  EXPECT_THAT(message_of([] { ConfigTree::parse("a = 'ü' # ü\n\u03FB = 2\n", "run.toml"); }),
              HasSubstr("run.toml:2"));
  EXPECT_NO_THROW(ConfigTree::parse("\xEF\xBB\xBF\"ü\" = 1\n", "run.toml"));
  EXPECT_THROW(ConfigTree::parse("include = ['x.toml']\n", "text"), Error);
}

TEST(ConfigTree, RefusesAbsurdDepthInsteadOfExhaustingTheStack) {
  std::string dotted = "a", lists = "1", tables = "1";
  for (int i = 0; i < 100000; ++i) dotted += ".'='";
  for (int i = 0; i < 100; ++i) {
    lists = "[" + lists + "]";
    tables = "{a.b = " + tables + "}";
  }
  EXPECT_THAT(message_of([&] { ConfigTree::parse("x = 1\n" + dotted + " = 1\n", "run.toml"); }),
              testing::AllOf(HasSubstr("nested more than"), HasSubstr("run.toml:2")));
  EXPECT_THROW(ConfigTree::parse("[" + dotted + "]\n", ""), Error);
  EXPECT_THROW(ConfigTree::parse("a = " + lists + "\n", ""), Error);
  EXPECT_THROW(ConfigTree::parse("a = " + tables + "\n", ""), Error);
  const std::string dots(100, '.');
  EXPECT_NO_THROW(ConfigTree::parse("a = '" + dots + "'\nb = \"\"\"\n\"" + dots + "\"\"\"\nc = 1 # it's " +
                                        dots + "\nd = \"\\\"" + dots + "\"\n",
                                    ""));
}

TEST(ConfigTree, SettingsParseAsTomlOrBareText) {
  ConfigTree tree =
      ConfigTree::parse("[train]\nbatch = 8\n[[stage]]\nsteps = 1\n[[stage]]\nsteps = 2\n", "run.toml");
  tree.set("train.batch=64");
  tree.set("train.rate = 1e-4");
  tree.set("train.name=hello world");
  tree.set("train.path=../a/b=c");
  tree.set("train.quoted=\"7\"");
  tree.set("train.flag=true");
  tree.set("train.list=[1, 2]");
  tree.set("stage.1.steps=10");
  tree.set("new.table.key=x");
  tree.set("train.sneaky=1\nbatch = 2");
  EXPECT_TRUE(tree ==
              ConfigTree::parse("[train]\nbatch = 64\nrate = 1e-4\nname = 'hello world'\npath = '../a/b=c'\n"
                                "quoted = '7'\nflag = true\nlist = [1, 2]\nsneaky = \"1\\nbatch = 2\"\n"
                                "[new.table]\nkey = 'x'\n[[stage]]\nsteps = 1\n[[stage]]\nsteps = 10\n",
                                ""));
  EXPECT_EQ(tree.where("train.batch"), "--set train.batch=64, key 'train.batch'");
  EXPECT_EQ(tree.where("stage.0.steps"), "run.toml:4, key 'stage.0.steps'");
  EXPECT_THAT(message_of([&] { tree.set("stage.2.steps=1"); }), HasSubstr("no entry 2 in a list of 2"));
  EXPECT_THAT(message_of([&] { tree.set("stage.x.steps=1"); }), HasSubstr("number of a list entry"));
  EXPECT_THAT(message_of([&] { tree.set("train.batch.x=1"); }), HasSubstr("inside a single value, 64"));
  EXPECT_THAT(message_of([&] { tree.set("absent.0.steps=1"); }), HasSubstr("no list with an entry 0"));
  EXPECT_THROW(tree.set("train.batch"), Error);
  EXPECT_THROW(tree.set("=1"), Error);
  EXPECT_THROW(tree.set("a b.c=1"), Error);
  EXPECT_THROW(tree.set(" = 1"), Error);
  EXPECT_THROW(tree.set("a..b=1"), Error);
  EXPECT_THROW(tree.set("a=\xff"), Error);  // no TOML text could hold it
}

TEST(ConfigTree, SubTablesRememberTheirPath) {
  const ConfigTree tree = ConfigTree::parse(
      "n = 1\n[model.backbone]\nplugin = 'dit'\n[[stage]]\nk = 1\n[[stage]]\nk = 2\n", "run.toml");
  EXPECT_THAT(tree.keys(), ElementsAre("n", "model", "stage"));
  const ConfigTree model = tree.table("model");
  EXPECT_EQ(model.table("backbone").path(), "model.backbone");
  EXPECT_EQ(model.get_string("backbone.plugin"), "dit");
  EXPECT_EQ(model.get_string("backbone.other", "none"), "none");
  EXPECT_THAT(message_of([&] { (void)model.get_string("backbone.other"); }),
              HasSubstr("run.toml:2, key 'model.backbone.other'"));
  EXPECT_THAT(message_of([&] { (void)tree.get_string("n"); }), HasSubstr("a string is needed here, not 1"));
  const auto stages = tree.tables("stage");
  ASSERT_EQ(stages.size(), 2U);
  EXPECT_EQ(stages[1].where("k"), "run.toml:7, key 'stage.1.k'");
  EXPECT_TRUE(tree.has("stage.1.k"));
  EXPECT_FALSE(tree.has("stage.2"));
  EXPECT_TRUE(tree.table("absent").keys().empty());
  EXPECT_TRUE(tree.tables("absent").empty());
  EXPECT_THROW((void)tree.table("n"), Error);
  EXPECT_THROW((void)tree.tables("model"), Error);
}

TEST(ConfigTree, WrittenTextParsesToTheSameTree) {
  ConfigTree tree = ConfigTree::parse(
      "'odd key' = 1\nmixed = [1, 'a', {b = [[], [2.5]]}]\nempty = []\n[e]\n"
      "[[s]]\n[[s]]\n[s.t]\nx = 1\n[[s.l]]\ny = 2\n",
      "");
  tree.set("f.tiny", std::numeric_limits<double>::denorm_min());
  tree.set("f.third", 1.0 / 3);
  tree.set("f.whole", 5.0);
  tree.set("f.huge", 1e300);
  tree.set("f.inf", -std::numeric_limits<double>::infinity());
  tree.set("f.nan", std::numeric_limits<double>::quiet_NaN());
  tree.set("i.least", std::numeric_limits<std::int64_t>::min());
  tree.set("i.list", std::vector<std::int64_t>{1, -2});
  tree.set("s.2.x", std::vector<std::string>{"a", ""});
  tree.set("text", "tab\t quote\" slash\\ newline\n bell\x07 é ♥ \uFE85\uFE86\uFEC0\uFEFE\uFEFF");
  const ConfigTree again = ConfigTree::parse(tree.to_toml(), "written");
  EXPECT_TRUE(again == tree) << tree.to_toml();
  EXPECT_EQ(again.to_toml(), tree.to_toml());
  ConfigTree other = again;
  other.set("f.whole", std::int64_t{5});  // another type is another value
  EXPECT_FALSE(other == tree);
}

TEST(ConfigTree, BuiltFromResolvedTables) {
  Schema schema("stage", "");
  schema.integer("steps", 10).help("Optimizer steps.");
  ConfigTree tree;
  tree.set("seed", 3);
  tree.set("model.plugin", "dit");
  tree.insert("model", Config::from_defaults(schema));
  tree.insert("stage.0", Config::from_defaults(schema));
  tree.insert("stage.1", Config::from_defaults(schema));
  EXPECT_EQ(tree.to_toml(true),
            "seed = 3\n\n[model]\nplugin = \"dit\"\n# Optimizer steps.\nsteps = 10\n\n[[stage]]\n# Optimizer "
            "steps.\n"
            "steps = 10\n\n[[stage]]\n# Optimizer steps.\nsteps = 10\n");
  EXPECT_TRUE(ConfigTree::parse(tree.to_toml(true), "") == tree);
  EXPECT_THROW(tree.set("stage.5.steps", 1), Error);
}

}  // namespace
}  // namespace tessera
