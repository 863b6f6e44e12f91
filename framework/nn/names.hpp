#pragma once
// Invariant: names of modules and parameters are dotted paths; a part is what stands between two dots.

#include <string>
#include <vector>

namespace tessera::nn {

/// The names for people, every part that is a number replaced by a star: "blocks.*.attn.qkv (28), y_proj".
[[nodiscard]] std::string name_patterns(const std::vector<std::string>& names);

/// Whether `pattern` describes the end of `name`, part by part; a star stands for any characters of one part.
/// "attn.qkv", "blocks.2*.attn.qkv" and "*.attn.*" match "blocks.20.attn.qkv"; "kv" does not.
[[nodiscard]] bool name_matches(const std::string& name, const std::string& pattern);

/// The ends of a name: "a.b.c" gives "c", "b.c" and itself.
[[nodiscard]] std::vector<std::string> name_ends(const std::string& name);

}  // namespace tessera::nn
