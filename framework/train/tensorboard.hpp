#pragma once
// Invariant: an event file is a sequence of records {length u64, masked CRC32C of the length u32, Event,
// masked CRC32C of the Event u32}, little-endian (the TFRecord framing), each written whole; the first Event
// names the version. The Event messages are encoded by hand: five of their fields are all that is used.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/image.hpp"

namespace tessera::train {

/// One event file of a run's folder; a resumed run adds another.
class EventFile {
 public:
  /// @param last_step  events of later steps in older files are void: the run repeats them. Negative for a
  ///                   new run.
  /// @throws Error when the file cannot be made.
  EventFile(const std::filesystem::path& folder, std::int64_t last_step);

  /// One point for each tag.
  void scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values);
  void image(std::int64_t step, const std::string& tag, const io::Image& picture);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  void write(const std::string& event);
  std::filesystem::path path_;
  std::ofstream file_;
};

/// The framing's checksum: CRC32C, rotated and shifted, so that a checksum of checksums stays useful.
[[nodiscard]] std::uint32_t masked_crc(std::string_view bytes);

}  // namespace tessera::train
