#pragma once
// Invariant: what decoded_layout returns agrees with the header and lies inside the file, as if inspect_shard
// had found it, whatever the bytes: ShardReader relies on that. Internal to data/.

#include <string>
#include <string_view>

#include "data/byte_text.hpp"
#include "data/shard.hpp"

namespace tessera::data {

[[nodiscard]] std::string encoded_header(const ShardHeader& header);
/// @param where  names the source in errors. @throws Error for bytes that are no header.
[[nodiscard]] ShardHeader decoded_header(std::string_view bytes, const std::string& where);

/// Path, length of the file and checksum of the seal left out.
[[nodiscard]] std::string encoded_layout(const ShardLayout& layout);
/// @throws Error when the bytes are no layout of a shard of this header and this many bytes.
[[nodiscard]] ShardLayout decoded_layout(std::string_view bytes, const ShardHeader& header,
                                         std::uint64_t file_bytes, const std::string& path);

}  // namespace tessera::data
