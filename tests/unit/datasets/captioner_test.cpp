// The captioner hook: commands cut into arguments, children held to their limits, and outputs that survive
// being killed.

#include "datasets/captioner/captioner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.hpp"
#include "datasets/captioner/append_log.hpp"
#include "datasets/captioner/child.hpp"
#include "datasets/captioner/command_template.hpp"
#include "datasets/folder/captions_file.hpp"
#include "io/file.hpp"
#include "unit/io/temporary_folder.hpp"

namespace tessera::datasets::captioner {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

std::string usage_message(const std::string& command) {
  try {
    const CommandTemplate refused(command);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

TEST(Command, words_are_cut_as_a_shell_would_and_nothing_more) {
  const CommandTemplate command(
      R"(  run --hint={caption}  'a "b" \c' "d 'e' \" \\ \f" g\ h $HOME `ls` "" {image}|x)");
  EXPECT_THAT(command.arguments("i m.png", "two words; rm -rf / \"'"),
              ElementsAre("run", "--hint=two words; rm -rf / \"'", "a \"b\" \\c", "d 'e' \" \\ \\f", "g h",
                          "$HOME", "`ls`", "", "i m.png|x"));
}

TEST(Command, placeholders_are_replaced_once_and_braces_are_free) {
  const CommandTemplate command(
      R"(x {image}{caption} '{"a": {"b": 1}}' {{image}} {{caption}}{image} {} {A} {)");
  EXPECT_THAT(command.arguments("{caption}", std::string("n\0l", 3)),
              ElementsAre("x", "{caption}n l", "{\"a\": {\"b\": 1}}", "{image}", "{caption}{caption}", "{}",
                          "{A}", "{"));
}

TEST(Command, mistakes_are_usage_errors) {
  EXPECT_THAT(usage_message("describe {imge}"), HasSubstr("did you mean {image}"));
  EXPECT_THAT(usage_message("awk '{print}'"), HasSubstr("write {{print}} for the text {print}"));
  EXPECT_THAT(usage_message("describe 'x"), HasSubstr("not closed"));
  EXPECT_THAT(usage_message(" \t"), HasSubstr("empty"));
  EXPECT_THROW(require_program("no-such-program-at-all"), Error);
  EXPECT_THROW(require_program("/etc/passwd"), Error);
  EXPECT_NO_THROW(require_program("sh"));
  EXPECT_NO_THROW(require_program("/bin/sh"));
}

/// Runs to the end.
void wait_for(Child& child) {
  while (!child.update()) std::this_thread::sleep_for(1ms);
}

TEST(Child, gets_arguments_and_variables_as_they_are) {
  ::setenv("TESSERA_IMAGE", "of the parent", 1);
  Child child(
      {"sh", "-c", R"(printf '%s|' "$@" "$TESSERA_IMAGE"; cat; echo no >&2)", "x", "a b", "", "'\"\n$x"},
      {"TESSERA_IMAGE=i=1"}, {10s, 1000});
  wait_for(child);
  ::unsetenv("TESSERA_IMAGE");
  EXPECT_EQ(child.end(), Child::End::exited);
  EXPECT_EQ(child.status(), 0);
  EXPECT_EQ(child.output(), "a b||'\"\n$x|i=1|") << "standard input is empty";
  EXPECT_EQ(child.errors(), "no\n");
}

TEST(Child, its_end_is_told) {
  Child failing({"sh", "-c", "exit 3"}, {}, {10s, 1000});
  wait_for(failing);
  EXPECT_EQ(failing.end(), Child::End::exited);
  EXPECT_EQ(failing.status(), 3);
  Child killed({"sh", "-c", "kill -9 $$"}, {}, {10s, 1000});
  wait_for(killed);
  EXPECT_EQ(killed.end(), Child::End::signalled);
  EXPECT_EQ(killed.status(), SIGKILL);
  EXPECT_THROW(Child({"/etc/passwd"}, {}, {10s, 1000}), StartFailure);
  EXPECT_THROW(Child({"true", std::string(200'000, 'x')}, {}, {10s, 1000}), StartFailure);
}

TEST(Child, all_its_output_is_read_but_no_more_than_allowed) {
  Child large({"sh", "-c", "head -c 900000 /dev/zero; head -c 900000 /dev/zero >&2"}, {}, {10s, 1'000'000});
  wait_for(large);
  EXPECT_EQ(large.end(), Child::End::exited);
  EXPECT_EQ(large.output().size(), 900'000U);
  EXPECT_EQ(large.errors().size(), 4096U);
  Child endless({"cat", "/dev/zero"}, {}, {10s, 1'000'000});
  wait_for(endless);
  EXPECT_EQ(endless.end(), Child::End::too_much_output);
}

/// True once no process of this number exists, which may take the system a moment.
bool gone(pid_t process) {
  for (int i = 0; i < 2000; ++i) {
    if (::kill(process, 0) != 0) return true;
    // an orphan of ours that nobody waits for
    std::ifstream status("/proc/" + std::to_string(process) + "/stat");
    std::string number, name, state;
    if (status >> number >> name >> state && state == "Z") return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

TEST(Child, the_time_limit_ends_it_and_all_that_it_started) {
  Child slow({"sh", "-c", "sleep 100 & echo $!; wait"}, {}, {300ms, 1000});
  const auto begin = Child::Clock::now();
  wait_for(slow);
  EXPECT_EQ(slow.end(), Child::End::timed_out);
  EXPECT_LT(Child::Clock::now() - begin, 20s);
  EXPECT_TRUE(gone(static_cast<pid_t>(std::stoi(slow.output()))));
}

TEST(Child, what_it_leaves_behind_holds_up_nothing) {
  Child parent({"sh", "-c", "sleep 100 & echo $!"}, {}, {50s, 1000});
  const auto begin = Child::Clock::now();
  wait_for(parent);
  EXPECT_LT(Child::Clock::now() - begin, 20s) << "the sleeping one still has the pipe";
  EXPECT_EQ(parent.end(), Child::End::exited);
  ::kill(static_cast<pid_t>(std::stoi(parent.output())), SIGKILL);
}

TEST(AppendLog, a_torn_line_is_removed_and_a_foreign_file_is_not_touched) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "log";
  std::vector<std::string> seen;
  const auto visit = [&](std::string_view line, std::size_t) { seen.emplace_back(line); };
  {
    AppendLog log(path, "{\"a\":", visit);
    log.append("{\"a\":1}");
    log.append("{\"a\":2}");
    log.sync();
    EXPECT_THROW(AppendLog(path, "{\"a\":", visit), Error) << "it is in use";
  }
  for (const std::string torn : {"{", "{\"a\":", "{\"a\":3"}) {
    const std::string whole = io::read_file(path);
    io::replace_file(path, whole + torn);
    seen.clear();
    AppendLog log(path, "{\"a\":", visit);
    EXPECT_EQ(log.torn(), torn.size());
    EXPECT_THAT(seen, ElementsAre("{\"a\":1}", "{\"a\":2}"));
    EXPECT_EQ(io::read_file(path), whole);
  }
  const std::string zeros(7, '\0');
  io::replace_file(path, "{\"a\":1}\n" + zeros);
  EXPECT_EQ(AppendLog(path, "{\"a\":", visit).torn(), 7U);
  io::replace_file(path, "my notes");
  EXPECT_THROW(AppendLog(path, "{\"a\":", visit), Error);
  EXPECT_EQ(io::read_file(path), "my notes");
}

class CaptionerTest : public testing::Test {
 protected:
  CaptionerTest() {
    options_.images = folder_ / "images";
    options_.captions = folder_ / "captions.csv";
    options_.out = folder_ / "dense.jsonl";
    options_.timeout = 20s;
    std::filesystem::create_directories(options_.images);
  }

  /// `count` pictures 0.png, 1.png, ... with the captions "caption 0", ...
  void pictures(int count) {
    std::string rows = "image,caption\n";
    for (int i = 0; i < count; ++i) {
      const std::string name = std::to_string(i) + ".png";
      io::replace_file((options_.images / name).string(), "x");
      rows += name + ",caption " + std::to_string(i) + "\n";
    }
    io::replace_file(options_.captions.string(), rows);
  }
  /// A shell script that is given image and caption; every call is noted in calls().
  void script(const std::string& body) {
    const std::string path = folder_ / "captioner.sh";
    io::replace_file(
        path, "#!/bin/sh\nname=${1##*/}\necho \"$name\" >>'" + folder_ / "calls" + "'\n" + body + "\n");
    ::chmod(path.c_str(), 0755);
    options_.command = path + " {image} {caption}";
  }
  [[nodiscard]] std::map<std::string, int> calls() const {
    std::map<std::string, int> found;
    std::ifstream lines(folder_ / "calls");
    for (std::string line; std::getline(lines, line);) ++found[line];
    return found;
  }
  [[nodiscard]] static std::vector<json> lines_of(const std::string& path) {
    std::vector<json> found;
    std::ifstream lines(path);
    for (std::string line; std::getline(lines, line);) found.push_back(json::parse(line));
    return found;
  }
  [[nodiscard]] std::map<std::string, json> records() const {
    std::map<std::string, json> found;
    for (const json& record : lines_of(options_.out)) {
      EXPECT_TRUE(found.emplace(record["image"], record).second) << record;
    }
    return found;
  }
  [[nodiscard]] std::string message() const {
    try {
      (void)caption_images(options_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  test::TemporaryFolder folder_;
  Options options_;
};

TEST_F(CaptionerTest, every_row_gets_its_caption_from_commands_in_parallel) {
  pictures(40);
  const std::string started = folder_ / "started";
  std::filesystem::create_directories(started);
  // The first ones go on only once four of them run.
  script("touch '" + started + "'/$$; while [ $(ls '" + started +
         "' | wc -l) -lt 4 ]; do sleep 0.02; done; echo; echo \"  dense $name: $2 \"; echo");
  options_.jobs = 4;
  const Report report = caption_images(options_);
  EXPECT_EQ(report.rows, 40U);
  EXPECT_EQ(report.captioned, 40U);
  EXPECT_EQ(report.totals.to_do + report.totals.failing + report.totals.strangers, 0U);
  const auto found = records();
  ASSERT_EQ(found.size(), 40U);
  EXPECT_EQ(found.at("7.png")["caption"], "caption 7");
  EXPECT_EQ(found.at("7.png")["dense_caption"], "dense 7.png: caption 7");
  EXPECT_FALSE(std::filesystem::exists(failures_file(options_.out)));

  const Report again = caption_images(options_);
  EXPECT_EQ(again.captioned, 0U);
  EXPECT_EQ(again.before, 40U);
  for (const auto& [name, times] : calls()) EXPECT_EQ(times, 1) << name;
}

TEST_F(CaptionerTest, any_text_comes_back_as_it_was) {
  pictures(2);
  io::replace_file((options_.images / "a b,\".png").string(), "x");
  const std::string odd = "two\nlines, \"quoted\" 'single' $HOME \\ \u00e9\u732b";
  std::string row = "\"a b,\"\".png\",\"two\nlines, \"\"quoted\"\" 'single' $HOME \\ \u00e9\u732b\",g,true\n";
  row += std::string("0.png,\"nul\0 byte\",,\n", 19);
  io::replace_file(options_.captions.string(), "image,caption,group,held_out\n" + row);
  script("printf 'first\\n%s\\000|%s|%s' \"$2\" \"$TESSERA_CAPTION\" \"$TESSERA_IMAGE\"");
  EXPECT_EQ(caption_images(options_).captioned, 2U);
  const auto found = records();
  const json& first = found.at("a b,\".png");
  EXPECT_EQ(first["caption"], odd);
  EXPECT_EQ(first["group"], "g");
  EXPECT_EQ(first["held_out"], true);
  EXPECT_EQ(first["dense_caption"],
            "first\n" + odd + std::string("\0|", 2) + odd + "|" + (options_.images / "a b,\".png").string());
  EXPECT_EQ(found.at("0.png")["caption"], std::string("nul\0 byte", 9));
  EXPECT_THAT(found.at("0.png")["dense_caption"].get<std::string>(), HasSubstr("nul  byte"));
  EXPECT_FALSE(found.at("0.png").contains("group"));
  EXPECT_EQ(caption_images(options_).before, 2U) << "what was written is found again";

  // and the folder source reads both captions
  folder::CaptionsReader reader(options_.out, {"caption", "dense_caption"});
  folder::Row read;
  ASSERT_TRUE(reader.next(read));
  EXPECT_EQ(read.captions, (std::vector<std::string>{odd, first["dense_caption"]}));
  EXPECT_TRUE(read.held_out);
}

TEST_F(CaptionerTest, failures_are_told_and_tried_again_so_many_times) {
  pictures(8);
  std::filesystem::remove(options_.images / "7.png");
  script(
      "case $name in 0.png) echo fine;; 1.png) echo why not >&2; exit 5;; 2.png) ;; 3.png) sleep 60;;"
      " 4.png) printf '\\377';; 5.png) kill -9 $$;; 6.png) head -c 2000000 /dev/zero;; esac");
  options_.timeout = 2s;
  options_.jobs = 8;
  options_.retries = 1;
  const Report first = caption_images(options_);
  EXPECT_EQ(first.captioned, 1U);
  EXPECT_EQ(first.failed, 7U);
  EXPECT_EQ(first.totals.to_do, 7U);
  EXPECT_EQ(first.totals.failing, 7U);
  EXPECT_EQ(first.totals.given_up, 0U);
  const std::map<std::string, std::uint64_t> kinds{{"exit code", 1}, {"empty", 1},  {"timed out", 1},
                                                   {"not UTF-8", 1}, {"signal", 1}, {"too long", 1},
                                                   {"no picture", 1}};
  EXPECT_EQ(first.totals.kinds, kinds);
  EXPECT_EQ(first.examples.size(), 7U);
  std::map<std::string, std::string> reasons;
  for (const json& failure : lines_of(failures_file(options_.out))) {
    EXPECT_EQ(failure["attempt"], 1);
    reasons[failure["image"]] = failure["reason"];
  }
  EXPECT_EQ(reasons["1.png"], "exit code 5: why not");
  EXPECT_EQ(reasons["3.png"], "no answer within 2 s");

  script("case $name in 1.png) exit 6;; *) echo fine now;; esac");
  const Report second = caption_images(options_);
  EXPECT_EQ(second.captioned, 5U);
  EXPECT_EQ(second.totals.failing, 2U);
  EXPECT_EQ(second.totals.given_up, 2U) << "one retry, for 1.png and 7.png";
  EXPECT_EQ(second.totals.to_do, 0U);

  const Report third = caption_images(options_);
  EXPECT_EQ(third.captioned + third.failed, 0U);
  ASSERT_EQ(third.examples.size(), 2U);
  EXPECT_EQ(third.examples[0].image, "1.png");
  EXPECT_EQ(third.examples[0].failed.attempts, 2U);
  EXPECT_EQ(third.examples[0].failed.last.text, "exit code 6");
  EXPECT_EQ(calls().at("1.png"), 2);
  EXPECT_EQ(calls().at("0.png"), 1);

  script("echo at last");
  io::replace_file((options_.images / "7.png").string(), "x");
  options_.retries = 2;
  EXPECT_EQ(caption_images(options_).captioned, 2U);
  EXPECT_EQ(records().size(), 8U);
  EXPECT_FALSE(std::filesystem::exists(failures_file(options_.out))) << "nothing fails any more";
}

TEST_F(CaptionerTest, killed_at_any_moment_it_goes_on_where_it_was) {
  pictures(60);
  script("sleep 0.02; echo \"dense $name\"");
  options_.jobs = 3;
  for (int round = 0; round < 3; ++round) {
    const std::size_t before = std::filesystem::exists(options_.out) ? lines_of(options_.out).size() : 0;
    const pid_t process = ::fork();
    if (process == 0) {
      (void)caption_images(options_);
      ::_exit(0);
    }
    const auto lines = [&] {
      const std::string text = std::filesystem::exists(options_.out) ? io::read_file(options_.out) : "";
      return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    };
    while (lines() < before + 10) std::this_thread::sleep_for(1ms);
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
    // what a power failure would leave of the next lines
    std::ofstream(options_.out, std::ios::app) << R"({"image":"5.png","caption":"capt)";
    std::ofstream(failures_file(options_.out), std::ios::app) << R"({"image":"5.p)";
    Options one = options_;
    one.limit = 1;
    const Report report = caption_images(one);
    EXPECT_GT(report.torn, 0U);
    EXPECT_EQ(report.captioned, 1U);
    EXPECT_EQ(report.before, records().size() - 1);
  }
  const auto finished = records();
  std::map<std::string, int> called = calls();
  const Report report = caption_images(options_);
  EXPECT_EQ(report.before, finished.size());
  EXPECT_EQ(report.captioned, 60 - finished.size());
  EXPECT_EQ(records().size(), 60U);
  const auto called_after = calls();
  for (const auto& [image, record] : finished) {
    EXPECT_EQ(called.at(image), called_after.at(image)) << "finished and run again";
  }
}

TEST_F(CaptionerTest, children_end_with_the_process_that_started_them) {
  pictures(1);
  script("echo $$ >'" + folder_ / "pid" + "'; exec sleep 100");
  const pid_t process = ::fork();
  if (process == 0) {
    (void)caption_images(options_);
    ::_exit(0);
  }
  std::string number;
  while (number.empty()) {
    std::this_thread::sleep_for(1ms);
    std::ifstream file(folder_ / "pid");
    std::getline(file, number);
  }
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
  EXPECT_TRUE(gone(static_cast<pid_t>(std::stoi(number))));
}

TEST_F(CaptionerTest, a_stopped_call_counts_no_failure) {
  pictures(10);
  script("case $name in 0.png) echo fine;; *) sleep 100;; esac");
  options_.jobs = 2;
  options_.stop = [this] {
    return std::filesystem::exists(options_.out) && !io::read_file(options_.out).empty();
  };
  const Report report = caption_images(options_);
  EXPECT_EQ(report.captioned, 1U);
  EXPECT_EQ(report.failed, 0U);
  EXPECT_EQ(report.totals.to_do, 9U);
}

TEST_F(CaptionerTest, repeated_rows_are_captioned_once_and_strangers_counted) {
  pictures(3);
  script("echo \"$2!\"");
  options_.limit = 2;
  EXPECT_EQ(caption_images(options_).totals.to_do, 1U);
  options_.limit = 0;
  io::replace_file(options_.captions.string(),
                   "image,caption\n0.png,caption 0\n0.png,another\n0.png,caption 0\n2.png,caption 2\n");
  const Report report = caption_images(options_);
  EXPECT_EQ(report.rows, 4U);
  EXPECT_EQ(report.repeated, 1U);
  EXPECT_EQ(report.before, 1U);
  EXPECT_EQ(report.captioned, 2U);
  EXPECT_EQ(report.totals.strangers, 1U) << "1.png";
}

TEST_F(CaptionerTest, bad_files_are_told_before_anything_runs) {
  pictures(2);
  script("echo fine");
  const Options good = options_;
  options_.out = options_.captions.string();
  EXPECT_THAT(message(), HasSubstr("captions file itself"));
  options_ = good;
  options_.images = folder_ / "nowhere";
  EXPECT_THAT(message(), HasSubstr("nowhere"));
  options_ = good;
  options_.command = "no-such-program {image}";
  EXPECT_THAT(message(), HasSubstr("no program of this name"));
  options_ = good;
  io::replace_file(options_.out, "{\"image\": \"a\", \"caption\": \"b\"}\n");
  EXPECT_THAT(message(), HasSubstr("dense.jsonl:1"));
  io::replace_file(options_.out, "");
  io::replace_file(options_.captions.string(), "image,caption\n0.png,x\n1.png\n");
  EXPECT_THAT(message(), HasSubstr("captions.csv:3"));
  EXPECT_TRUE(calls().empty());
}

TEST_F(CaptionerTest, a_caption_longer_than_an_argument_may_be_fails_alone) {
  pictures(2);
  io::replace_file(options_.captions.string(),
                   "image,caption\n0.png," + std::string(300'000, 'x') + "\n1.png,y\n");
  script("echo fine");
  const Report report = caption_images(options_);
  EXPECT_EQ(report.captioned, 1U);
  EXPECT_EQ(report.totals.kinds, (std::map<std::string, std::uint64_t>{{"too long", 1}}));
  options_.command = options_.command.substr(0, options_.command.find(" {caption}"));
  EXPECT_EQ(caption_images(options_).captioned, 1U) << "without {caption} it can be captioned";
}

}  // namespace
}  // namespace tessera::datasets::captioner
