#pragma once
// Invariant: keys are emoji as UTF-8 without variation selectors U+FE0F, the form that CLDR itself uses.

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::datasets::emoji {

/// Key words per emoji, from CLDR's annotations (common/annotations/en.xml and annotationsDerived/en.xml).
using Annotations = std::map<std::string, std::vector<std::string>>;

/// Adds one file's key words to `annotations`.
/// @throws Error naming the package if the file is missing, or file and line if it is malformed.
void read_annotations(const std::filesystem::path& path, Annotations& annotations);

/// The same from the file's text; `name` is what errors call it.
void parse_annotations(std::string_view xml, const std::string& name, Annotations& annotations);

/// The key of a sequence.
std::string annotation_key(std::u32string_view code_points);

}  // namespace tessera::datasets::emoji
