#pragma once
// Invariant: a file that comes from a Debian package is either there, or the error names the package.

#include <filesystem>
#include <string>
#include <string_view>

namespace tessera::datasets {

/// @throws Error that says which package to install if the path is not a readable file.
void require_system_file(const std::filesystem::path& path, std::string_view package);

/// The file's content. @throws Error as require_system_file.
std::string read_system_text(const std::filesystem::path& path, std::string_view package);

}  // namespace tessera::datasets
