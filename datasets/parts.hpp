#pragma once
// Invariant: n processes that build one part each, in any order and on any machines that share the folder,
// leave the data set that one process would have left, up to the places where shards begin. Until the last of
// them has finished there is no shard in the folder itself, only in its subfolder parts/. Each part takes a
// range of the pictures, in order; the one that finds all others complete moves the shards to their names. A
// part that failed, or was killed while it moved them, is run again.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace tessera::datasets {

struct Part {
  std::size_t index = 0;  ///< below count
  std::size_t count = 1;  ///< 1: the whole
  [[nodiscard]] bool is_whole() const { return count == 1; }
  [[nodiscard]] std::size_t begin(std::size_t pictures) const { return index * pictures / count; }
  [[nodiscard]] std::size_t end(std::size_t pictures) const { return (index + 1) * pictures / count; }
  /// "part 3 of 8", counted from 1
  [[nodiscard]] std::string text() const;
};

/// The data set of all parts, once it is in its place.
struct JoinedShards {
  std::vector<std::string> training, held_out;
};

class PartFolder {
 public:
  /// Of one part of the data set in `folder`.
  PartFolder(std::string folder, Part part);

  /// Where this part's shards are written: a data set of its own, its held-out pictures in held_out/.
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool complete() const;
  /// Makes an empty folder; what an earlier attempt left is removed.
  /// @throws Error when `folder` already holds shards, or parts of another division.
  void begin() const;
  /// Declares the shards in path() complete. @param pictures  of the whole source, the same for every part.
  void finish(std::size_t pictures, std::size_t training_shards, std::size_t held_out_shards) const;
  /// When all parts are complete, gives their shards the names of one data set and removes parts/.
  /// @return nothing when parts are missing. @throws Error when the parts are not of one source, when they
  /// hold nothing to train on, or a shard cannot be moved.
  [[nodiscard]] std::optional<JoinedShards> join() const;
  /// Parts that are not complete, counted from 1.
  [[nodiscard]] std::vector<std::size_t> missing() const;

 private:
  std::string folder_;
  Part part_;
  std::string path_;
};

}  // namespace tessera::datasets
