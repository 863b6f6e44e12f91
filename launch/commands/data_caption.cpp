// tessera data caption

#include <unistd.h>

#include <iostream>

#include "datasets/captioner/captioner.hpp"
#include "datasets/folder/captions_file.hpp"
#include "launch/command.hpp"
#include "launch/table.hpp"
#include "train/stop_signals.hpp"

namespace tessera::launch {
namespace {

using datasets::captioner::Options;
using datasets::captioner::Report;

std::string count(std::uint64_t number) { return grouped(static_cast<std::int64_t>(number)); }

Options options_of(const Arguments& arguments) {
  Options options;
  options.images = arguments.text("--images");
  options.captions = arguments.text("--captions");
  options.command = arguments.text("--command");
  options.out = arguments.text("--out");
  options.jobs = static_cast<std::size_t>(arguments.integer("--jobs", 1, 1, 1024));
  constexpr double a_week = 7 * 24 * 3600;
  options.timeout = std::chrono::milliseconds(
      static_cast<std::int64_t>(1000 * arguments.number("--timeout", 300, 0.001, a_week)));
  options.retries = static_cast<unsigned>(arguments.integer("--retries", 2, 0, 1'000'000));
  options.limit = static_cast<std::uint64_t>(arguments.integer("--limit", 0, 1));
  options.stop = train::StopSignals::received;
  if (::isatty(STDERR_FILENO) != 0) {
    options.progress = [](const Report& report) {
      const std::uint64_t pictures = report.rows - report.repeated;
      std::cerr << "\r" << report.before + report.captioned << " of " << pictures << " captioned, "
                << report.failed << " failed " << std::flush;
    };
  }
  return options;
}

void print_failures(const Report& report, const std::string& file) {
  std::cout << count(report.totals.failing)
            << (report.totals.failing == 1 ? " picture has" : " pictures have") << " no caption:";
  const char* separator = " ";
  for (const auto& [kind, pictures] : report.totals.kinds) {
    std::cout << separator << kind << " " << count(pictures);
    separator = ", ";
  }
  std::cout << "; all in " << file << "\n";
  TextTable table;
  for (const Report::Example& each : report.examples) {
    table.add({each.image, "attempt " + std::to_string(each.failed.attempts), each.failed.last.text});
  }
  std::cout << table.text();
}

ExitCode run(const Arguments& arguments) {
  const Options options = options_of(arguments);
  const train::StopSignals signals;
  const Report report = datasets::captioner::caption_images(options);
  if (options.progress) std::cerr << "\n";

  if (report.torn > 0) std::cout << "an unfinished record (" << report.torn << " bytes) was removed\n";
  std::cout << count(report.captioned) << " captioned, " << count(report.before) << " were before, of "
            << count(report.rows) << " rows; in " << options.out << "\n";
  if (report.repeated > 0)
    std::cout << count(report.repeated) << " rows repeat the image and caption of another\n";
  if (report.totals.strangers > 0)
    std::cout << count(report.totals.strangers) << " records of " << options.out
              << " are of no row: the captions file has changed since\n";
  if (report.totals.failing > 0) print_failures(report, datasets::captioner::failures_file(options.out));
  if (report.totals.to_do > 0) {
    std::cout << count(report.totals.to_do) << (report.totals.to_do == 1 ? " is" : " are")
              << " to be done: repeat the command\n";
    return ExitCode::resume_later;
  }
  if (report.totals.given_up > 0) {
    std::cout << count(report.totals.given_up)
              << " failed too often to be tried again; raise --retries for that\n";
    return ExitCode::error;
  }
  return ExitCode::done;
}

}  // namespace

Command caption_command() {
  CommandTable table;
  table.name = "data caption";
  table.summary = "have a program of yours caption pictures, in parallel and resumable";
  table.details =
      "Runs a command for every row of a captions file; what it writes on standard output is the picture's "
      "dense caption. The command is not run by a shell: its words become arguments as they stand, {image} "
      "and "
      "{caption} in them are replaced, and the environment variables TESSERA_IMAGE and TESSERA_CAPTION hold "
      "the "
      "same. Each answer is put onto the disk at once, as a JSON line with image, caption and dense_caption "
      "in "
      "the order in which answers come. Repeat the command after any stop, kill -9 included: what is there "
      "is "
      "kept, only the rest is run. A picture fails when the command's exit code is not 0, when it writes "
      "nothing, or takes too long; reasons go to FILE.failures, and the next calls try it again. Exit codes: "
      "0 "
      "all captioned, 75 repeat the command, 1 only pictures that failed too often are left.";
  table.options = {
      {"--images", Option::Takes::one, "DIR", "The folder that image names are relative to.", true},
      {"--captions", Option::Takes::one, "FILE", "The captions file, CSV or JSON lines.", true},
      {"--command", Option::Takes::one, "TEXT", "The command, such as \"describe --hint {caption} {image}\".",
       true},
      {"--out", Option::Takes::one, "FILE", "JSON lines to write and to go on with.", true},
      {"--jobs", Option::Takes::one, "N", "Commands that run at a time (default 1)."},
      {"--timeout", Option::Takes::one, "SECONDS",
       "End a command, with all that it started, after this long (default 300)."},
      {"--retries", Option::Takes::one, "N",
       "How often later calls try a picture again that failed (default 2)."},
      {"--limit", Option::Takes::one, "N", "Start at most N commands, to try a captioner first."},
  };
  table.examples = {
      {"tessera data caption --images photos --captions photos.csv --command \"python3 llava.py {image}\" "
       "--jobs 4 "
       "--out dense.jsonl",
       "Caption a folder, four pictures at a time."},
      {"tessera data build folder --images photos --captions dense.jsonl --caption-field "
       "caption,dense_caption "
       "--out data/photos",
       "Then train on both captions of each picture."},
  };
  return {std::move(table), run, {}};
}

}  // namespace tessera::launch
