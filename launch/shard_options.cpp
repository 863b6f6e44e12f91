#include "launch/shard_options.hpp"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <sstream>
#include <thread>

namespace tessera::launch {
namespace {

/// "3/8" -> the third of eight.
datasets::Part part_of(const std::string& text, const std::string& command) {
  std::istringstream in(text);
  std::size_t number = 0;
  std::size_t count = 0;
  char slash = 0;
  constexpr std::size_t most = 99999;  // as names of shards have digits
  if (!(in >> number >> slash >> count) || slash != '/' ||
      in.peek() != std::istringstream::traits_type::eof() || number < 1 || number > count || count > most ||
      text.find('-') != std::string::npos) {
    throw usage_error("--part " + text + " is not I/N with I from 1 to N", command,
                      "give 1/8, 2/8, ... 8/8.");
  }
  return {number - 1, count};
}

}  // namespace

std::vector<Option> shard_options() {
  return {
      {"--store", Option::Takes::one, "WHICH",
       "Caption positions to keep: all, or real ones only, for models that skip padding (default all)."},
      {"--latent-type", Option::Takes::one, "TYPE", "float16 or float32 (default float16)."},
      {"--shard-records", Option::Takes::one, "N", "Begin a new shard after N records (default: by size)."},
      {"--shard-size", Option::Takes::one, "MB", "Begin a new shard after about this much (default 1024)."},
      {"--part", Option::Takes::one, "I/N",
       "Build only the I-th of N equal parts, 1/N to N/N; others, on this machine or any that shares the "
       "folder, build the rest with the same options, and the last to finish puts the data set together. A "
       "part that failed is run again."},
      {"--threads", Option::Takes::one, "N", "Threads that read and encode pictures (default: all cores)."},
  };
}

void read_shard_options(const Arguments& arguments, const std::string& command,
                        datasets::ShardOptions& options) {
  options.folder = arguments.text("--out");
  const std::string store = arguments.text("--store", "all");
  if (store != "all" && store != "real") {
    throw usage_error("--store " + store + " is not known", command, "use all or real.");
  }
  options.captions = store == "all" ? data::CaptionStore::all : data::CaptionStore::real;
  const std::string type = arguments.text("--latent-type", "float16");
  if (type != "float16" && type != "float32") {
    throw usage_error("--latent-type " + type + " is not known", command, "use float16 or float32.");
  }
  options.latent_type = type == "float16" ? io::StoredType::f16 : io::StoredType::f32;
  options.shard_records = static_cast<std::size_t>(arguments.integer("--shard-records", 0, 1));
  options.shard_bytes = static_cast<std::uint64_t>(arguments.integer("--shard-size", 1024, 1, 1 << 24)) << 20;
  if (arguments.has("--part")) options.part = part_of(arguments.text("--part"), command);
  options.threads = static_cast<unsigned>(
      arguments.integer("--threads", std::max(1U, std::thread::hardware_concurrency()), 1, 1024));
  if (::isatty(STDERR_FILENO) != 0) {
    options.progress = [](std::size_t done, std::size_t all) {
      if (done % 64 == 0 || done == all) {
        std::cerr << "\r" << done << " of " << all << " pictures" << (done == all ? "\n" : "") << std::flush;
      }
    };
  }
}

void print_shards(const datasets::BuildReport& report, const datasets::ShardOptions& options) {
  const std::string& folder = options.folder;
  if (!options.part.is_whole()) {
    std::cout << options.part.text() << " is complete"
              << (report.was_complete ? ", since before" : ", " + std::to_string(report.records) + " records")
              << "\n";
    if (!report.missing_parts.empty()) {
      std::cout << "still missing:";
      for (const std::size_t part : report.missing_parts) std::cout << " " << part;
      std::cout << "\n";
    } else {
      std::cout << "the data set is complete: " << report.shards.size() << " shards in " << folder << "\n";
    }
    return;
  }
  std::cout << report.pictures << " pictures in " << report.records << " records, " << report.shards.size()
            << (report.shards.size() == 1 ? " shard in " : " shards in ") << folder << "\n";
  if (report.held_out > 0) {
    std::cout << report.held_out << " pictures held out, never trained on: " << folder << "/held_out\n";
  }
  std::cout << "look at them: tessera data show " << report.shards.front() << " --out contact.png\n";
}

}  // namespace tessera::launch
