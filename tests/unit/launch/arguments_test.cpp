// The command line: every kind of option, and every mistake told as such.

#include "launch/arguments.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace tessera::launch {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Takes = Option::Takes;

CommandTable table() {
  CommandTable made;
  made.name = "draw";
  made.summary = "draws";
  made.operands = {"FILE", "A file.", 1, 2};
  made.options = {
      {"--steps", Takes::one, "N", "Steps (default 30)."},
      {"--prompt", Takes::several, "TEXT", "Prompts."},
      {"--set", Takes::each, "KEY=VALUE", "A setting."},
      {"--resume", Takes::nothing, "", "Go on."},
  };
  made.examples = {{"tessera draw a", "Draws a."}};
  return made;
}

/// The Error's message and code, or "" when there is none.
std::pair<std::string, ExitCode> failure(const CommandTable& wanted, const std::vector<std::string>& words) {
  try {
    static_cast<void>(parse_arguments(wanted, words));
  } catch (const Error& error) {
    return {error.what(), error.code()};
  }
  return {"", ExitCode::done};
}

TEST(Arguments, every_kind_of_option) {
  const Arguments a = parse_arguments(table(), {"one", "--prompt", "red heart", "a cat", "--steps=7", "--set",
                                                "a=1", "two", "--set", "b=x=y", "--resume"});
  EXPECT_THAT(a.operands(), ElementsAre("one", "two"));
  EXPECT_THAT(a.texts("--prompt"), ElementsAre("red heart", "a cat"));
  EXPECT_THAT(a.texts("--set"), ElementsAre("a=1", "b=x=y"));
  EXPECT_EQ(a.integer("--steps", 30, 1), 7);
  EXPECT_TRUE(a.has("--resume"));
  EXPECT_FALSE(parse_arguments(table(), {"one"}).has("--resume"));
  EXPECT_EQ(parse_arguments(table(), {"one"}).integer("--steps", 30, 1), 30);
}

TEST(Arguments, the_last_single_value_counts_and_two_dashes_end_options) {
  const Arguments a = parse_arguments(table(), {"--steps", "1", "--steps", "2", "--", "--odd", "-x"});
  EXPECT_EQ(a.integer("--steps", 30, 1), 2);
  EXPECT_THAT(a.operands(), ElementsAre("--odd", "-x"));
}

TEST(Arguments, negative_values_are_values) {
  const Arguments a = parse_arguments(table(), {"one", "--steps", "-3"});
  EXPECT_EQ(a.integer("--steps", 30, -10), -3);
}

TEST(Arguments, mistakes_name_the_nearest_option_and_exit_with_usage) {
  const auto unknown = failure(table(), {"one", "--promt", "x"});
  EXPECT_EQ(unknown.second, ExitCode::usage);
  EXPECT_THAT(unknown.first, HasSubstr("'--promt'"));
  EXPECT_THAT(unknown.first, HasSubstr("'--prompt'"));
  EXPECT_THAT(unknown.first, HasSubstr("tessera draw --help"));
  EXPECT_THAT(failure(table(), {"one", "-s"}).first, HasSubstr("two dashes"));
  EXPECT_THAT(failure(table(), {}).first, HasSubstr("FILE is missing"));
  EXPECT_THAT(failure(table(), {"a", "b", "c"}).first, HasSubstr("'c' is one argument too many"));
  EXPECT_THAT(failure(table(), {"a", "--steps"}).first, HasSubstr("needs a value"));
  EXPECT_THAT(failure(table(), {"a", "--steps", "--resume"}).first, HasSubstr("needs a value"));
  EXPECT_THAT(failure(table(), {"a", "--resume=yes"}).first, HasSubstr("takes no value"));
}

TEST(Arguments, required_options_are_required_unless_help_is_asked) {
  CommandTable strict = table();
  strict.options[0].required = true;
  EXPECT_EQ(failure(strict, {"one"}).second, ExitCode::usage);
  EXPECT_THAT(failure(strict, {"one"}).first, HasSubstr("--steps"));
  EXPECT_TRUE(parse_arguments(strict, {"--help"}).wants_help());
}

TEST(Arguments, numbers_are_checked) {
  const Arguments a = parse_arguments(table(), {"x", "--steps", "3.5", "--set", "16,32", "--set", "64"});
  EXPECT_THROW(static_cast<void>(a.integer("--steps", 0, 0)), Error);
  EXPECT_DOUBLE_EQ(a.number("--steps", 0, 0, 10), 3.5);
  EXPECT_THROW(static_cast<void>(a.number("--steps", 0, 0, 3)), Error);
  EXPECT_THAT(a.integers("--set", {}, 1, 100), ElementsAre(16, 32, 64));
  EXPECT_THROW(static_cast<void>(a.integers("--set", {}, 1, 50)), Error);
  EXPECT_THAT(a.list("--set", {}), ElementsAre("16", "32", "64"));
  EXPECT_THAT(parse_arguments(table(), {"f"}).list("--set", {"x"}), ElementsAre("x"));
  for (const char* gap : {"--set=a,,b", "--set=a,", "--set=,a", "--set="}) {
    EXPECT_THROW(static_cast<void>(parse_arguments(table(), {"f", gap}).list("--set", {})), Error) << gap;
  }
  const Arguments b = parse_arguments(table(), {"x", "--steps", "3x"});
  EXPECT_THROW(static_cast<void>(b.integer("--steps", 0, 0)), Error);
  EXPECT_THROW(static_cast<void>(b.number("--steps", 0, 0, 10)), Error);
}

TEST(Arguments, help_tells_every_option_and_example) {
  const std::string text = help_text(table());
  for (const char* part : {"tessera draw FILE... [options]", "--steps N", "--prompt TEXT...", "(default 30)",
                           "--resume", "tessera draw a", "Draws a."}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(Arguments, folding_keeps_words_and_width) {
  const std::string text = folded("one two three four five", 12, 2);
  EXPECT_EQ(text, "one two\n  three four\n  five");
}

}  // namespace
}  // namespace tessera::launch
