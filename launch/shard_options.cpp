#include "launch/shard_options.hpp"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <thread>

namespace tessera::launch {

std::vector<Option> shard_options() {
  return {
      {"--store", Option::Takes::one, "WHICH",
       "Caption positions to keep: all, or real ones only, for models that skip padding (default all)."},
      {"--latent-type", Option::Takes::one, "TYPE", "float16 or float32 (default float16)."},
      {"--shard-records", Option::Takes::one, "N", "Begin a new shard after N records (default: by size)."},
      {"--shard-size", Option::Takes::one, "MB", "Begin a new shard after about this much (default 1024)."},
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

void print_shards(const datasets::BuildReport& report, const std::string& folder) {
  std::cout << report.pictures << " pictures in " << report.records << " records, " << report.shards.size()
            << (report.shards.size() == 1 ? " shard in " : " shards in ") << folder << "\n";
  if (report.held_out > 0) {
    std::cout << report.held_out << " pictures held out, never trained on: " << folder << "/held_out\n";
  }
  std::cout << "look at them: tessera data show " << report.shards.front() << " --out contact.png\n";
}

}  // namespace tessera::launch
