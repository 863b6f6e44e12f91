#pragma once
// Invariant: a target hands hostile bytes to one parser and lets nothing out but what it should: the parser
// either accepts them or throws tessera::Error. Any other exception, and any report of a sanitizer, is a
// fault.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tessera::fuzz {

using Bytes = std::span<const std::uint8_t>;

struct Target {
  std::string_view name;  ///< also that of its corpus folder
  /// @return whether the bytes were accepted. @throws std::logic_error when the parser broke its own promise.
  bool (*run)(Bytes bytes);
};

bool run_config(Bytes bytes);               ///< TOML text to a resolved configuration, and back to text
bool run_shard(Bytes bytes);                ///< a shard file
bool run_shard_contents(Bytes bytes);       ///< a sealed shard whose description lies
bool run_checkpoint(Bytes bytes);           ///< a checkpoint file
bool run_checkpoint_contents(Bytes bytes);  ///< a sealed checkpoint whose description lies
bool run_picture(Bytes bytes);              ///< a PNG or JPEG file, or an Exif block
bool run_captions(Bytes bytes);             ///< a captions file, CSV or JSON lines

[[nodiscard]] const std::vector<Target>& targets();

}  // namespace tessera::fuzz
