#pragma once
// Invariant: an index says of every shard of a list what inspect_shard says, and nothing else: an entry is
// taken from a file of it only while the shard is the one that the entry was made from. Some 100 bytes per
// shard, and 10 to 20 more per aspect bucket and resolution in it.
//
// Inspecting a shard costs milliseconds (its seal is verified, HDF5 opens it), and a data set may have tens
// of thousands. The index of a folder lies beside its shards as "shards.index": written by the first that
// opens the folder and may write there, and by DatasetWriter. An entry counts as long as the shard has the
// length and the time of modification that it had, or, where the time changed (the folder was copied), the
// same seal checksum; all other shards are inspected anew. The seal checksum is compared in any case when a
// shard is opened to be read (ShardReader). The same bytes tell the other ranks what one of them found.
//
//   "TESSIDX\n", version, headers, shards, entries, CRC32C of all before. Numbers have 7 bits per byte, the
//   lowest first; texts and entries follow their length.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/shard.hpp"
#include "io/file.hpp"

namespace tessera::data {

class ShardIndex {
 public:
  /// Of shard files, and of folders of which every *.h5 is taken. Main thread only (HDF5).
  /// @throws Error when a path is missing, a numbered shard of a folder is missing, there is no shard, or a
  /// shard is damaged.
  [[nodiscard]] static ShardIndex of(const std::vector<std::string>& paths);
  /// What encoded() returned. @throws Error naming `where` when the bytes are not.
  [[nodiscard]] static ShardIndex decoded(std::string_view bytes, const std::string& where);

  [[nodiscard]] std::string encoded() const;
  [[nodiscard]] std::size_t shards() const { return entries_.size(); }
  /// How many of them each path named; they lie in the order of the paths.
  [[nodiscard]] const std::vector<std::size_t>& shards_by_path() const { return by_path_; }
  [[nodiscard]] const std::string& path(std::size_t shard) const { return entries_.at(shard).path; }
  /// Shards with equal headers share one object.
  [[nodiscard]] const std::shared_ptr<const ShardHeader>& header(std::size_t shard) const {
    return headers_[entries_.at(shard).header];
  }
  /// @throws Error when it contradicts the header or reaches beyond the file.
  [[nodiscard]] ShardLayout layout(std::size_t shard) const;

  void add(const ShardInfo& info, io::FileStamp stamp);
  /// Ends the shards of one path.
  void end_path();

 private:
  struct Entry {
    std::string path;
    io::FileStamp stamp;
    std::uint32_t header = 0;
    std::uint32_t seal_crc = 0;
    std::string layout;  // encoded
  };
  /// Adds the shards of a folder, from its index file where that is right. @return how many were inspected or
  /// have a new stamp.
  std::size_t add_folder(const std::string& folder);
  void write(const std::string& folder) const;

  std::vector<std::shared_ptr<const ShardHeader>> headers_;
  std::vector<Entry> entries_;
  std::vector<std::size_t> by_path_;
};

/// The shard files that a list of files and folders names, sorted by name within a folder.
/// @throws Error when one is missing, also when file names tell of more shards than a folder holds.
[[nodiscard]] std::vector<std::string> find_shards(const std::vector<std::string>& paths);

/// The index file of a folder.
[[nodiscard]] std::string index_of(const std::string& folder);

}  // namespace tessera::data
