#include "io/jpeg.hpp"

#include <csetjmp>
#include <cstdio>
// libjpeg's headers use FILE and size_t without including them.
#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <vector>

#include "base/error.hpp"
#include "io/exif.hpp"
#include "io/file.hpp"

namespace tessera::io {
namespace {

// libjpeg's own handlers print and exit; these jump back to the caller. Everything that has a destructor
// lives in Decoder, outside the frames that call setjmp, so that a jump never skips one.
struct Decoder {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  std::jmp_buf back{};
  char message[JMSG_LENGTH_MAX] = "";
  bool created = false;
  int orientation = 1;
  std::vector<std::uint8_t> line;  // one row in the file's colour space
  Image image;

  ~Decoder() {
    if (created) jpeg_destroy_decompress(&jpeg);
  }
};

void fail(j_common_ptr jpeg) {
  auto& decoder = *static_cast<Decoder*>(jpeg->client_data);
  jpeg->err->format_message(jpeg, decoder.message);
  std::longjmp(decoder.back, 1);
}

void notice(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  // After these two warnings libjpeg goes on with grey blocks; a training set should not contain those.
  const int code = jpeg->err->msg_code;
  if (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER) fail(jpeg);
}

void say_nothing(j_common_ptr) {}

bool read_header(Decoder& decoder, std::span<const std::uint8_t> bytes) {
  decoder.jpeg.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = fail;
  decoder.errors.emit_message = notice;
  decoder.errors.output_message = say_nothing;
  decoder.jpeg.client_data = &decoder;
  if (setjmp(decoder.back) != 0) return false;
  jpeg_create_decompress(&decoder.jpeg);
  decoder.created = true;
  jpeg_mem_src(&decoder.jpeg, bytes.data(), static_cast<unsigned long>(bytes.size()));
  jpeg_save_markers(&decoder.jpeg, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&decoder.jpeg, TRUE);
  for (jpeg_saved_marker_ptr marker = decoder.jpeg.marker_list; marker != nullptr; marker = marker->next)
    if (marker->marker == JPEG_APP0 + 1 && decoder.orientation == 1)
      decoder.orientation = exif_orientation({marker->data, marker->data_length});
  return true;
}

bool start(Decoder& decoder) {
  if (setjmp(decoder.back) != 0) return false;
  const bool four = decoder.jpeg.jpeg_color_space == JCS_CMYK || decoder.jpeg.jpeg_color_space == JCS_YCCK;
  decoder.jpeg.out_color_space = four ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&decoder.jpeg);
  return true;
}

// Adobe's programs store CMYK inverted, so that 255 is no ink; a file without their marker does not.
void cmyk_to_rgb(const std::uint8_t* cmyk, bool inverted, std::uint8_t* rgb) {
  const auto light = [inverted](unsigned ink) { return inverted ? ink : 255u - ink; };
  for (int c = 0; c < 3; ++c)
    rgb[c] = static_cast<std::uint8_t>((light(cmyk[c]) * light(cmyk[3]) + 127u) / 255u);
}

bool read_lines(Decoder& decoder) {
  if (setjmp(decoder.back) != 0) return false;
  jpeg_decompress_struct& jpeg = decoder.jpeg;
  while (jpeg.output_scanline < jpeg.output_height) {
    const int y = static_cast<int>(jpeg.output_scanline);
    JSAMPROW row = jpeg.out_color_space == JCS_RGB ? decoder.image.at(0, y) : decoder.line.data();
    if (jpeg_read_scanlines(&jpeg, &row, 1) != 1) return false;
    if (jpeg.out_color_space == JCS_RGB) continue;
    for (int x = 0; x < decoder.image.width; ++x)
      cmyk_to_rgb(decoder.line.data() + 4 * x, jpeg.saw_Adobe_marker != FALSE, decoder.image.at(x, y));
  }
  jpeg_finish_decompress(&jpeg);
  return true;
}

}  // namespace

Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name) {
  Decoder decoder;
  const auto check = [&](bool good) {
    if (!good)
      throw Error("This is not a readable JPEG picture (" + std::string(decoder.message) + ").", name,
                  "Replace the file, or leave it out of the set.");
  };
  check(read_header(decoder, bytes));
  const std::size_t width = decoder.jpeg.image_width, height = decoder.jpeg.image_height;
  if (width * height > max_image_pixels)
    throw Error("This JPEG picture is too large, " + std::to_string(width) + " x " + std::to_string(height) +
                    " pixels.",
                name, "Reduce the picture, or leave it out of the set.");
  check(start(decoder));
  decoder.image = Image(static_cast<int>(width), static_cast<int>(height));
  decoder.line.resize(4 * width);
  check(read_lines(decoder));
  return oriented(std::move(decoder.image), decoder.orientation);
}

std::optional<ImageSize> jpeg_size(std::span<const std::uint8_t> bytes) {
  Decoder decoder;
  if (!read_header(decoder, bytes)) return std::nullopt;
  ImageSize size{static_cast<int>(decoder.jpeg.image_width), static_cast<int>(decoder.jpeg.image_height)};
  if (orientation_swaps_sides(decoder.orientation)) std::swap(size.width, size.height);
  return size;
}

Image read_jpeg(const std::filesystem::path& path) {
  const std::string content = read_file(path.string());
  return decode_jpeg({reinterpret_cast<const std::uint8_t*>(content.data()), content.size()}, path.string());
}

}  // namespace tessera::io
