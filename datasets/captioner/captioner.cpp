#include "datasets/captioner/captioner.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "base/error.hpp"
#include "base/utf8.hpp"
#include "datasets/captioner/child.hpp"
#include "datasets/captioner/command_template.hpp"
#include "datasets/folder/captions_file.hpp"
#include "io/file.hpp"

namespace tessera::datasets::captioner {
namespace {

using folder::Row;

constexpr std::size_t longest_caption = 1'000'000;  // bytes
constexpr std::size_t longest_variable = 100'000;   // Linux takes 128 KiB with the name
constexpr std::size_t longest_reason = 300;
constexpr std::size_t listed_failures = 20;
constexpr std::chrono::milliseconds look_again{50};
constexpr std::chrono::milliseconds look_again_soon{2};

std::string shown(std::string_view text) {
  std::string line(text.substr(0, longest_reason));
  line.resize(utf8_prefix(line));
  return line;
}

/// The last line that is not blank, to be told as the reason.
std::string last_line(std::string_view text) {
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) return {};
  text = text.substr(0, end + 1);
  const std::size_t begin = text.rfind('\n');
  return shown(begin == std::string_view::npos ? text : text.substr(begin + 1));
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

std::string seconds(std::chrono::milliseconds time) {
  std::string text = std::to_string(time.count() / 1000);
  if (time.count() % 1000 != 0) text += "." + std::to_string(1000 + time.count() % 1000).substr(1);
  return text + " s";
}

/// What a command that has ended says: a caption, or the reason why there is none.
using Answer = std::variant<std::string_view, Reason>;

Answer answer_of(const Child& child, std::chrono::milliseconds timeout) {
  const std::string told = last_line(child.errors());
  const auto failed = [&](const char* kind, const std::string& text) {
    return Reason{kind, told.empty() ? text : text + ": " + told};
  };
  const std::string_view caption = trimmed(child.output());
  switch (child.end()) {
    case Child::End::timed_out:
      return failed("timed out", "no answer within " + seconds(timeout));
    case Child::End::too_much_output:
      return failed("too long", "it wrote more than " + io::readable_bytes(longest_caption));
    case Child::End::signalled:
      return failed("signal", "it was ended by signal " + std::to_string(child.status()) + " (" +
                                  ::strsignal(child.status()) + ")");
    case Child::End::exited:
    case Child::End::running:
      break;
  }
  if (child.status() != 0) return failed("exit code", "exit code " + std::to_string(child.status()));
  if (caption.empty()) return failed("empty", "it wrote nothing");
  if (utf8_prefix(caption) != caption.size()) return failed("not UTF-8", "it wrote bytes that are not UTF-8");
  return caption;
}

class Captioner {
 public:
  explicit Captioner(const Options& options) : options_(options), command_(options.command) {
    check_files();
    count_rows();
    ledger_.emplace(options.out, options.retries);
    report_.torn = ledger_->torn();
    rows_.emplace(options.captions);
  }

  Report run() {
    while (!(options_.stop && options_.stop())) {
      start_some();
      if (running_.empty()) break;
      wait();
      collect();
    }
    running_.clear();
    while (next_to_do()) {  // of a call that was stopped or limited
    }
    ledger_->close();
    report_.totals = ledger_->totals();
    return std::move(report_);
  }

 private:
  struct Running {
    Row row;
    std::unique_ptr<Child> child;
  };

  void check_files() const {
    std::error_code failure;
    if (std::filesystem::equivalent(options_.captions, options_.out, failure)) {
      throw Error("--out is the captions file itself", options_.out, "name another file to write to",
                  ExitCode::usage);
    }
    if (!std::filesystem::is_directory(options_.images, failure)) {
      throw Error("there is no folder of this name", options_.images.string(), "correct --images");
    }
    const std::string program = command_.arguments("", "").front();
    if (program == command_.arguments("x", "x").front()) require_program(program);  // holds no placeholder
  }

  /// Every row is checked before the first command runs, which may be days before the last does.
  void count_rows() {
    folder::CaptionsReader rows(options_.captions);
    for (Row row; rows.next(row);) ++report_.rows;
  }

  std::optional<Row> next_to_do() {
    for (Row row; rows_->next(row);) {
      switch (ledger_->visit(row)) {
        case Ledger::Standing::to_do:
          return row;
        case Ledger::Standing::done:
          ++report_.before;
          break;
        case Ledger::Standing::repeated:
          ++report_.repeated;
          break;
        case Ledger::Standing::given_up:
          add_example(row);
      }
    }
    return std::nullopt;
  }

  void start_some() {
    while (running_.size() < options_.jobs && (options_.limit == 0 || started_ < options_.limit)) {
      std::optional<Row> row = next_to_do();
      if (!row) return;
      ++started_;
      start(std::move(*row));
    }
  }

  void start(Row row) {
    const std::string image = (options_.images / row.image).string();
    std::error_code failure;
    if (image.find('\0') != std::string::npos || !std::filesystem::is_regular_file(image, failure)) {
      return fail(row, {"no picture", "there is no file " + without_nul(image)});
    }
    const std::string& caption = row.captions.front();
    std::vector<std::string> variables{"TESSERA_IMAGE=" + image, "TESSERA_CAPTION="};
    if (caption.size() <= longest_variable) variables.back() += without_nul(caption);
    const std::vector<std::string> arguments = command_.arguments(image, caption);
    try {
      auto child =
          std::make_unique<Child>(arguments, variables, Child::Limits{options_.timeout, longest_caption});
      running_.push_back({std::move(row), std::move(child)});
    } catch (const StartFailure& refused) {
      if (refused.error_number == E2BIG)
        return fail(row, {"too long", "the caption is too long for a command's argument"});
      throw Error("the command cannot be run: " + std::string(std::strerror(refused.error_number)),
                  arguments.front(), "try it by hand; a script needs a first line such as #!/bin/sh");
    }
  }

  /// Until a command writes or ends, or it is time to look for one that is overdue.
  void wait() {
    std::vector<pollfd> descriptors;
    Child::Clock::time_point until = Child::Clock::now() + look_again;
    for (const Running& each : running_) {
      until = std::min(until, each.child->deadline());
      const bool silent = each.child->output_descriptor() < 0 && each.child->errors_descriptor() < 0;
      if (silent) until = std::min(until, Child::Clock::now() + look_again_soon);  // about to end
      for (const int descriptor : {each.child->output_descriptor(), each.child->errors_descriptor()}) {
        if (descriptor >= 0) descriptors.push_back({descriptor, POLLIN, 0});
      }
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Child::Clock::now());
    const int milliseconds = static_cast<int>(std::max<std::int64_t>(left.count(), 0));
    if (::poll(descriptors.data(), descriptors.size(), milliseconds) < 0 && errno != EINTR)
      throw io::system_error(options_.command, "wait for the command", errno);
  }

  void collect() {
    for (auto each = running_.begin(); each != running_.end();) {
      if (!each->child->update()) {
        ++each;
        continue;
      }
      const Answer answer = answer_of(*each->child, options_.timeout);
      if (const auto* caption = std::get_if<std::string_view>(&answer)) {
        ledger_->add_caption(each->row, *caption);
        ++report_.captioned;
      } else {
        fail(each->row, std::get<Reason>(answer));
      }
      each = running_.erase(each);
      if (options_.progress) options_.progress(report_);
    }
    ledger_->sync();
  }

  void fail(const Row& row, const Reason& reason) {
    ledger_->add_failure(row, reason);
    ++report_.failed;
    add_example(row);
  }

  void add_example(const Row& row) {
    if (report_.examples.size() < listed_failures)
      report_.examples.push_back({row.image, ledger_->failed(row)});
  }

  const Options& options_;
  CommandTemplate command_;
  Report report_;
  std::optional<Ledger> ledger_;
  std::optional<folder::CaptionsReader> rows_;
  std::list<Running> running_;
  std::uint64_t started_ = 0;
};

}  // namespace

Report caption_images(const Options& options) { return Captioner(options).run(); }

}  // namespace tessera::datasets::captioner
