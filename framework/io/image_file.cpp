#include "io/image_file.hpp"

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "io/file.hpp"
#include "io/jpeg.hpp"
#include "io/png.hpp"

namespace tessera::io {
namespace {

enum class Format { png, jpeg };

Format format_of(std::span<const std::uint8_t> bytes, const std::string& name) {
  if (bytes.size() >= 4 && bytes[0] == 0x89 && bytes[1] == 'P' && bytes[2] == 'N' && bytes[3] == 'G')
    return Format::png;
  if (bytes.size() >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) return Format::jpeg;
  throw Error("This file is neither a PNG nor a JPEG picture.", name,
              "Convert the picture to PNG or JPEG, or leave it out of the set.");
}

std::optional<ImageSize> size_in(std::span<const std::uint8_t> bytes, const std::string& name) {
  return format_of(bytes, name) == Format::png ? png_size(bytes) : jpeg_size(bytes);
}

}  // namespace

Image read_image(const std::filesystem::path& path) {
  const std::string content = read_file(path.string());
  const std::span<const std::uint8_t> bytes{reinterpret_cast<const std::uint8_t*>(content.data()),
                                            content.size()};
  return format_of(bytes, path.string()) == Format::png ? decode_png(bytes, path.string())
                                                        : decode_jpeg(bytes, path.string());
}

ImageSize read_image_size(const std::filesystem::path& path) {
  const File file = File::open_read(path.string());
  const std::uint64_t total = file.size();
  // A JPEG's size may stand behind a preview and a colour profile; ask for more until it is found.
  for (std::uint64_t take = 1u << 14;; take *= 8) {
    std::vector<std::uint8_t> bytes(std::min(take, total));
    file.read_at(bytes.data(), bytes.size(), 0);
    if (const auto size = size_in(bytes, path.string())) return *size;
    if (take >= total)
      throw Error("The header of this picture is damaged or cut off.", path.string(),
                  "Replace the file, or leave it out of the set.");
  }
}

}  // namespace tessera::io
