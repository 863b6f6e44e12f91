#pragma once
// Invariant: well-formed means RFC 3629: shortest forms only, no surrogates, nothing above U+10FFFF.

#include <cstddef>
#include <string_view>

namespace tessera {

/// Bytes of the sequence at the start of the text; 0 when there is none that is well formed.
[[nodiscard]] std::size_t utf8_length(std::string_view text);

/// How many leading bytes of the text are well formed: all of them when the text is UTF-8.
[[nodiscard]] std::size_t utf8_prefix(std::string_view text);

/// Code points of a well-formed text; of any other, the bytes that continue no sequence.
[[nodiscard]] std::size_t count_code_points(std::string_view text);

}  // namespace tessera
