#include "io/png.hpp"

#include <png.h>

#include <csetjmp>
#include <cstring>

#include "base/error.hpp"
#include "io/file.hpp"

namespace tessera::io {
namespace {

// libpng reports errors by longjmp. Everything that has a destructor lives in these structs, outside the
// frames that call setjmp, so that a jump never skips one.
struct PngState {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::string message;
};

void keep_message(png_structp png, png_const_charp text) {
  static_cast<PngState*>(png_get_error_ptr(png))->message = text;
  png_longjmp(png, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

struct Reader : PngState {
  std::span<const std::uint8_t> bytes;
  std::size_t taken = 0;
  std::vector<std::uint8_t> rgba;
  std::vector<png_bytep> rows;
  png_uint_32 width = 0, height = 0;

  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

struct Writer : PngState {
  std::vector<std::uint8_t> bytes;

  ~Writer() { png_destroy_write_struct(&png, &info); }
};

void take(png_structp png, png_bytep out, std::size_t count) {
  auto& reader = *static_cast<Reader*>(png_get_io_ptr(png));
  if (count > reader.bytes.size() - reader.taken) png_error(png, "the file ends too early");
  std::memcpy(out, reader.bytes.data() + reader.taken, count);
  reader.taken += count;
}

void give(png_structp png, png_bytep data, std::size_t count) {
  auto& writer = *static_cast<Writer*>(png_get_io_ptr(png));
  writer.bytes.insert(writer.bytes.end(), data, data + count);
}

bool read_header(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_set_user_limits(reader.png, max_image_side, max_image_side);
  png_set_read_fn(reader.png, &reader, take);
  png_read_info(reader.png, reader.info);
  reader.width = png_get_image_width(reader.png, reader.info);
  reader.height = png_get_image_height(reader.png, reader.info);
  // To 8-bit RGBA whatever the colour type: palette and low depths expanded, grey copied to three channels,
  // a transparent colour turned into alpha, opaque alpha added where there is none.
  png_set_expand(reader.png);
  png_set_scale_16(reader.png);
  png_set_gray_to_rgb(reader.png);
  png_set_add_alpha(reader.png, 0xff, PNG_FILLER_AFTER);
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  return true;
}

bool read_rows(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_read_image(reader.png, reader.rows.data());
  png_read_end(reader.png, nullptr);
  return true;
}

bool write_all(Writer& writer, const Image& image) {
  if (setjmp(png_jmpbuf(writer.png)) != 0) return false;
  png_set_write_fn(writer.png, &writer, give, nullptr);
  png_set_IHDR(writer.png, writer.info, static_cast<png_uint_32>(image.width),
               static_cast<png_uint_32>(image.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(writer.png, writer.info);
  for (int y = 0; y < image.height; ++y) png_write_row(writer.png, image.at(0, y));
  png_write_end(writer.png, nullptr);
  return true;
}

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw Error("This is not a readable PNG picture (" + why + ").", name,
              "Replace the file, or leave it out of the set.");
}

}  // namespace

Image decode_png(std::span<const std::uint8_t> bytes, const std::string& name) {
  if (bytes.size() < 8 || png_sig_cmp(bytes.data(), 0, 8) != 0) refuse(name, "it has no PNG signature");
  Reader reader;
  reader.bytes = bytes;
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, keep_message, ignore_warning);
  reader.info = reader.png != nullptr ? png_create_info_struct(reader.png) : nullptr;
  if (reader.info == nullptr) throw Error("Out of memory while opening a PNG picture.", name);
  if (!read_header(reader)) refuse(name, reader.message);

  const std::size_t pixels = std::size_t{reader.width} * reader.height;
  if (pixels > max_image_pixels)
    refuse(name,
           "it claims " + std::to_string(reader.width) + " x " + std::to_string(reader.height) + " pixels");
  const std::size_t row_bytes = std::size_t{reader.width} * 4;
  if (png_get_rowbytes(reader.png, reader.info) != row_bytes) refuse(name, "unexpected row layout");
  reader.rgba.resize(pixels * 4);
  reader.rows.resize(reader.height);
  for (std::size_t y = 0; y < reader.height; ++y) reader.rows[y] = reader.rgba.data() + y * row_bytes;
  if (!read_rows(reader)) refuse(name, reader.message);

  Image image(static_cast<int>(reader.width), static_cast<int>(reader.height));
  for (std::size_t i = 0; i < pixels; ++i) {
    const std::uint8_t* from = reader.rgba.data() + 4 * i;
    for (std::size_t c = 0; c < 3; ++c) image.pixels[3 * i + c] = over_white(from[c], from[3]);
  }
  return image;
}

std::optional<ImageSize> png_size(std::span<const std::uint8_t> bytes) {
  // Signature, length of the first chunk, its name, then width and height, big-endian.
  if (bytes.size() < 24 || png_sig_cmp(bytes.data(), 0, 8) != 0 ||
      std::memcmp(bytes.data() + 12, "IHDR", 4) != 0)
    return std::nullopt;
  const png_uint_32 width = png_get_uint_32(bytes.data() + 16), height = png_get_uint_32(bytes.data() + 20);
  if (width == 0 || height == 0 || width > max_image_side || height > max_image_side) return std::nullopt;
  return ImageSize{static_cast<int>(width), static_cast<int>(height)};
}

Image read_png(const std::filesystem::path& path) {
  const std::string content = read_file(path.string());
  return decode_png({reinterpret_cast<const std::uint8_t*>(content.data()), content.size()}, path.string());
}

std::vector<std::uint8_t> encode_png(const Image& image) {
  if (image.empty()) throw Error("A picture without pixels cannot be written.");
  Writer writer;
  writer.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &writer, keep_message, ignore_warning);
  writer.info = writer.png != nullptr ? png_create_info_struct(writer.png) : nullptr;
  if (writer.info == nullptr) throw Error("Out of memory while encoding a PNG picture.");
  if (!write_all(writer, image)) throw Error("The picture could not be encoded (" + writer.message + ").");
  return std::move(writer.bytes);
}

void write_png(const std::filesystem::path& path, const Image& image) {
  const auto bytes = encode_png(image);
  replace_file(path.string(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace tessera::io
