#include "datasets/system_file.hpp"

#include "base/error.hpp"
#include "io/file.hpp"

namespace tessera::datasets {

void require_system_file(const std::filesystem::path& path, std::string_view package) {
  std::error_code failure;
  if (std::filesystem::is_regular_file(path, failure)) return;
  throw Error("A file of the Debian package " + std::string(package) + " is missing.", path.string(),
              "Run: apt-get install " + std::string(package) + "; or give the path where the file is.");
}

std::string read_system_text(const std::filesystem::path& path, std::string_view package) {
  require_system_file(path, package);
  return io::read_file(path.string());
}

}  // namespace tessera::datasets
