// Opening a data set and reading it in training order, against the disk:
//   loader_bench --data DIR [--shards 64] [--records 256] [--caption 77] [--window 16] [--threads 1]
//                [--batch 64] [--seconds 5] [--cold 1]
// Makes DIR when it is missing: a few shards of records as MicroDiT has them (latents 4 x 32 x 32 and a
// caption of so many positions of 1024 features), copied until there are so many. Prints one JSON object:
//   inspect_s, open_s     opening without and with the index file; index_mb its size
//   plan_s, resume_s      until the first micro-batch of a run is known, at its start and far into it
//   resident_mb           what opening and planning left in memory
//   loader_mb_s           of record bytes in training order, checked and converted; samples_s likewise
//   disk_mb_s             the same files from end to end, one read of 4 MiB after the other
// With --cold 1 the files' pages are dropped before each reading, as far as the kernel agrees.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "data/loader.hpp"
#include "data/shard_writer.hpp"

namespace {

using namespace tessera;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Options = std::map<std::string, std::string>;

std::uint64_t number(const Options& options, const char* name) { return std::stoull(options.at(name)); }

template <class Work>
double seconds(const Work& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double resident_mb() {
  std::ifstream file("/proc/self/statm");
  double pages = 0;
  file >> pages >> pages;
  return pages * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

void make(const Options& options) {
  const std::string folder = options.at("--data");
  const std::uint64_t shards = number(options, "--shards"), records = number(options, "--records");
  data::ShardHeader header;
  header.codec = header.text_encoder = "bench";
  header.channels = 4;
  header.resolutions = {256};
  header.caption_length = static_cast<std::uint32_t>(number(options, "--caption"));
  header.caption_width = 1024;
  io::make_folders(folder);
  const RandomStream stream(RandomKey{.purpose = Purpose::test});
  const std::uint64_t kinds = std::min<std::uint64_t>(shards, 8);
  for (std::uint64_t s = 0; s < shards; ++s) {
    const std::string path = folder + "/" + data::shard_name(s, shards);
    if (s >= kinds) {
      fs::copy_file(folder + "/" + data::shard_name(s % kinds, shards), path);
      continue;
    }
    data::ShardWriter writer(path, header);
    for (std::uint64_t r = 0; r < records; ++r) {
      data::Record record;
      record.id = std::to_string(s * records + r);
      record.width = record.height = 256;
      record.latents.push_back({{32, 32}, std::vector<float>(4 * 32 * 32)});
      fill_normal(stream, s * records + r, 0, record.latents[0].values.data(), 4 * 32 * 32);
      record.captions.push_back(
          {"noise", header.caption_length, std::vector<float>(std::size_t{header.caption_length} * 1024)});
      fill_normal(stream, s * records + r, 1 << 20, record.captions[0].features.data(),
                  record.captions[0].features.size());
      writer.add(record);
    }
    writer.finish();
  }
}

void drop_pages(const std::vector<std::string>& files) {
  for (const std::string& path : files) {
    const io::File file = io::File::open_read(path);
    ::posix_fadvise(file.descriptor(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

void run(const Options& options) {
  const std::string folder = options.at("--data");
  if (!fs::exists(folder)) make(options);
  const std::string index = data::index_of(folder);
  fs::remove(index);
  const double inspect = seconds([&] { (void)data::ShardIndex::of({folder}); });
  const double before = resident_mb();
  std::shared_ptr<const data::Dataset> dataset;
  const double open =
      seconds([&] { dataset = std::make_shared<const data::Dataset>(std::vector<std::string>{folder}); });

  data::LoaderConfig config{.resolution = 256, .global_batch = number(options, "--batch"), .seed = 1};
  config.window_shards = static_cast<std::uint32_t>(number(options, "--window"));
  config.threads = static_cast<std::uint32_t>(number(options, "--threads"));
  data::MicroDraws draws;
  const double plan = seconds([&] { data::DrawPlan(*dataset, config).find(0, draws); });
  data::LoaderConfig later = config;
  later.first_draw = 7 * dataset->records() + dataset->records() / 3;
  const double resume = seconds([&] { data::DrawPlan(*dataset, later).find(0, draws); });
  const double resident = resident_mb() - before;

  const std::vector<std::string> files = data::find_shards({folder});
  const bool cold = number(options, "--cold") != 0;
  const double limit = std::stod(options.at("--seconds"));
  std::uint64_t samples = 0;
  if (cold) drop_pages(files);
  const double reading = seconds([&] {
    data::Loader loader(dataset, config);
    const auto start = Clock::now();
    while (std::chrono::duration<double>(Clock::now() - start).count() < limit &&
           samples < dataset->records()) {
      samples += loader.next().samples;
    }
  });
  const data::ShardHeader& header = dataset->header();
  const double of_record =
      2.0 * static_cast<double>(header.latent_values(dataset->common_grid(0)) +
                                std::uint64_t{header.caption_length} * header.caption_width);
  if (cold) drop_pages(files);
  double bytes = 0;
  const double disk = seconds([&] {
    std::vector<char> buffer(std::size_t{4} << 20);
    const auto start = Clock::now();
    for (const std::string& path : files) {
      const io::File file = io::File::open_read(path);
      for (std::uint64_t at = 0; at < file.size(); at += buffer.size()) {
        const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), file.size() - at));
        file.read_at(buffer.data(), piece, at);
        bytes += static_cast<double>(piece);
      }
      if (std::chrono::duration<double>(Clock::now() - start).count() > limit) break;
    }
  });
  const double index_mb = fs::exists(index) ? static_cast<double>(fs::file_size(index)) / 1e6 : 0;
  std::printf(
      "{\"benchmark\": \"loader\", \"shards\": %zu, \"records\": %llu, \"record_kb\": %.1f, \"threads\": %s, "
      "\"window\": %s, \"cold\": %s, \"inspect_s\": %.3f, \"open_s\": %.3f, \"index_mb\": %.2f, \"plan_s\": "
      "%.4f, \"resume_s\": %.4f, \"resident_mb\": %.1f, \"loader_mb_s\": %.1f, \"samples_s\": %.1f, "
      "\"disk_mb_s\": %.1f}\n",
      dataset->shards(), static_cast<unsigned long long>(dataset->records()), of_record / 1e3,
      options.at("--threads").c_str(), options.at("--window").c_str(), cold ? "true" : "false", inspect, open,
      index_mb, plan, resume, resident, static_cast<double>(samples) * of_record / reading / 1e6,
      static_cast<double>(samples) / reading, bytes / disk / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  Options options{{"--data", ""},      {"--shards", "64"}, {"--records", "256"},
                  {"--caption", "77"}, {"--window", "16"}, {"--threads", "1"},
                  {"--batch", "64"},   {"--seconds", "5"}, {"--cold", "0"}};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (options.count(argv[i]) == 0) {
      std::fprintf(stderr, "loader_bench: unknown option %s\n", argv[i]);
      return 2;
    }
    options[argv[i]] = argv[i + 1];
  }
  if (options["--data"].empty()) {
    std::fprintf(stderr, "loader_bench: --data names a folder, which is made when it is missing\n");
    return 2;
  }
  try {
    run(options);
  } catch (const tessera::Error& error) {
    std::fprintf(stderr, "loader_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
