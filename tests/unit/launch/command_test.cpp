// Which command the words name, and what is said when they name none.

#include "launch/command.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "launch/table.hpp"

namespace tessera::launch {
namespace {

using testing::HasSubstr;

std::string message(const std::vector<std::string>& words) {
  try {
    static_cast<void>(find_command(words));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

TEST(Commands, the_longest_name_wins) {
  EXPECT_EQ(find_command({"data", "build", "emoji", "--out", "x"}).command->table.name, "data build emoji");
  EXPECT_EQ(find_command({"data", "build", "emoji", "--out", "x"}).words, 3U);
  EXPECT_EQ(find_command({"data", "show", "file", "file"}).words, 2U);
  EXPECT_EQ(find_command({"plan", "a.toml"}).command->table.name, "plan");
}

TEST(Commands, mistakes_name_the_nearest_command) {
  EXPECT_THAT(message({"trian"}), HasSubstr("'train'"));
  EXPECT_THAT(message({"data", "biuld", "emoji"}), HasSubstr("'data build'"));
  EXPECT_THAT(message({"data", "build", "emojis"}), HasSubstr("'data build emoji'"));
  EXPECT_THAT(message({"data"}), HasSubstr("'build', 'show'"));
  EXPECT_THAT(message({"checkpoint", "--help"}), HasSubstr("one more word"));
  EXPECT_THAT(message({"zzzzzz"}), HasSubstr("tessera --help"));
}

TEST(Commands, every_command_explains_itself) {
  std::set<std::string> names;
  for (const Command& command : commands()) {
    SCOPED_TRACE(command.table.name);
    EXPECT_TRUE(names.insert(command.table.name).second);
    EXPECT_NE(static_cast<bool>(command.run), static_cast<bool>(command.run_on_ranks));
    EXPECT_FALSE(command.table.summary.empty());
    EXPECT_FALSE(command.table.examples.empty());
    std::set<std::string> options;
    for (const Option& option : command.table.options) {
      EXPECT_TRUE(options.insert(option.name).second) << option.name;
      EXPECT_FALSE(option.help.empty()) << option.name;
      EXPECT_EQ(option.value.empty(), option.takes == Option::Takes::nothing) << option.name;
    }
    EXPECT_THAT(overview(), HasSubstr(command.table.summary));
  }
}

TEST(Commands, an_error_is_one_paragraph) {
  EXPECT_EQ(paragraph(Error("it broke", "a.toml:3", "mend it")), "a.toml:3: it broke. Mend it.");
  EXPECT_EQ(paragraph(Error("it broke.")), "It broke.");
}

TEST(Tables, numbers_in_groups_and_columns_in_line) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(-1165442320), "-1,165,442,320");
  EXPECT_EQ(short_number(1.4712e20), "1.47e+20");
  TextTable made({false, true});
  made.add({"a", "1"});
  made.add({"bbb", "100"});
  EXPECT_EQ(made.text(1), " a      1\n bbb  100\n");
}

}  // namespace
}  // namespace tessera::launch
