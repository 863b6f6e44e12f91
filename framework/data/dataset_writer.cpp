#include <array>
#include <cstdio>
#include <filesystem>

#include "data/shard_index.hpp"
#include "data/shard_writer.hpp"

namespace tessera::data {
namespace {

namespace fs = std::filesystem;
constexpr const char* kProvisional = ".partial";

}  // namespace

std::string shard_name(std::size_t index, std::size_t count) {
  std::array<char, 64> name{};
  std::snprintf(name.data(), name.size(), "shard-%05zu-of-%05zu.h5", index, count);
  return name.data();
}

DatasetWriter::DatasetWriter(std::string folder, ShardHeader header, std::uint64_t shard_bytes,
                             std::uint64_t shard_records)
    : folder_(std::move(folder)),
      header_(std::move(header)),
      shard_bytes_(shard_bytes),
      shard_records_(shard_records) {
  io::make_folders(folder_);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().extension() == ".h5") {
      throw Error("this folder already holds the shard '" + entry.path().filename().string() + "'.", folder_,
                  "Choose an empty folder, or remove the shards that are there.");
    }
    if (entry.path().extension() == kProvisional) fs::remove(entry.path());  // of a build that was stopped
  }
}

DatasetWriter::~DatasetWriter() {
  std::error_code ignored;
  for (const std::string& path : unnamed_) fs::remove(path, ignored);
}

void DatasetWriter::add(const Record& record) {
  if (shard_ &&
      (shard_->bytes() >= shard_bytes_ || (shard_records_ != 0 && shard_->records() >= shard_records_))) {
    finish_shard();
  }
  if (!shard_) {
    shard_ = std::make_unique<ShardWriter>(
        folder_ + "/shard-" + std::to_string(unnamed_.size()) + kProvisional, header_);
  }
  shard_->add(record);
  ++records_;
}

void DatasetWriter::finish_shard() {
  shard_->finish();
  unnamed_.push_back(folder_ + "/shard-" + std::to_string(unnamed_.size()) + kProvisional);
  shard_.reset();
}

std::vector<std::string> DatasetWriter::finish() {
  if (records_ == 0) {
    throw Error("there is no record to write.", folder_,
                "Check that the source holds pictures and that the filters leave some.");
  }
  if (shard_) finish_shard();
  std::vector<std::string> names;
  for (std::size_t i = 0; i < unnamed_.size(); ++i) {
    names.push_back(folder_ + "/" + shard_name(i, unnamed_.size()));
    std::error_code reason;
    fs::rename(unnamed_[i], names.back(), reason);
    if (reason) throw io::system_error(names.back(), "rename a finished shard to this name", reason.value());
  }
  unnamed_.clear();
  (void)ShardIndex::of({folder_});  // leaves the index beside them, where they are many
  return names;
}

}  // namespace tessera::data
