#include "picture_files.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "base/error.hpp"
#include "io/exif.hpp"
#include "io/image_file.hpp"
#include "io/jpeg.hpp"

namespace tessera::io {
namespace {

int largest_difference(const Image& a, const Image& b) {
  if (a.size() != b.size()) return 256;
  int largest = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i)
    largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  return largest;
}

struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("tessera_io_image_" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

TEST(Png, reads_every_colour_type_over_white) {
  for (const char* kind : {"rgba", "la", "grey", "bits1", "palette", "grey16", "interlaced"}) {
    const Image expected = read_png(data_file(std::string(kind) + "_expected.png"));
    EXPECT_EQ(read_png(data_file(std::string(kind) + ".png")), expected) << kind;
    EXPECT_EQ(read_image_size(data_file(std::string(kind) + ".png")), expected.size()) << kind;
  }
}

TEST(Png, round_trip_is_exact_and_leaves_one_file) {
  const Folder folder;
  const Image image = noise(31, 17, 4);
  write_png(folder.path / "a.png", image);
  write_png(folder.path / "a.png", image);
  EXPECT_EQ(read_png(folder.path / "a.png"), image);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path), {}), 1);
}

TEST(Png, refuses_what_cannot_be_written) {
  EXPECT_THROW(write_png("/nonexistent-folder/a.png", Image(2, 2)), Error);
  EXPECT_THROW(encode_png(Image()), Error);
}

TEST(Jpeg, reads_as_pillow_does) {
  // Two libjpegs may round the inverse transform differently, by one or two levels.
  for (const char* kind : {"rgb", "progressive", "grey_jpeg", "cmyk", "turned"}) {
    const Image expected = read_png(data_file(std::string(kind) + "_expected.png"));
    EXPECT_LE(largest_difference(read_jpeg(data_file(std::string(kind) + ".jpg")), expected), 2) << kind;
    EXPECT_EQ(read_image_size(data_file(std::string(kind) + ".jpg")), expected.size()) << kind;
  }
}

TEST(Exif, turns_pictures_as_pillow_does) {
  const std::uint64_t expected[] = {
      0xd0927f4cb37a845u,  0xc48cd955ea936571u, 0xced7a3a306f8c15du, 0xc5d0cf70df8f4431u,
      0xc569f4d6a67d28f7u, 0x808bc814c7bcaa8fu, 0xa56e131d1236a53u,  0x4e9e0ff9a57005bbu,
  };
  const Image source = read_png(data_file("interlaced_expected.png"));
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Image turned = oriented(source, orientation);
    EXPECT_EQ(hash_of(turned), expected[orientation - 1]) << orientation;
    EXPECT_EQ(turned.width == source.height, orientation_swaps_sides(orientation));
  }
}

TEST(Exif, a_damaged_block_means_upright) {
  std::vector<std::uint8_t> block{'E', 'x', 'i',  'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0,
                                  1,   0,   0x12, 1,   3, 0, 1,   0,   0,  0, 6, 0, 0, 0};
  EXPECT_EQ(exif_orientation(block), 6);
  for (std::size_t length = 0; length < block.size(); ++length)
    EXPECT_EQ(exif_orientation({block.data(), length}), 1) << length;
  block[24] = 9;
  EXPECT_EQ(exif_orientation(block), 1);
  block[13] = 0xFF;
  EXPECT_EQ(exif_orientation(block), 1);
}

template <class Decode>
void expect_every_cut_refused(const std::string& file, std::size_t spare, Decode decode) {
  const auto bytes = data_bytes(file);
  EXPECT_NO_THROW(decode(bytes));
  for (std::size_t length = 0; length + spare < bytes.size(); ++length) {
    const std::vector<std::uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_THROW(decode(cut), Error) << file << " cut to " << length << " bytes";
  }
}

TEST(Damage, files_cut_short_are_refused) {
  const auto png = [](std::span<const std::uint8_t> bytes) { return decode_png(bytes, "picture"); };
  const auto jpeg = [](std::span<const std::uint8_t> bytes) { return decode_jpeg(bytes, "picture"); };
  for (const char* kind : {"rgba.png", "palette.png", "interlaced.png"})
    expect_every_cut_refused(kind, 0, png);
  // The last bits of a JPEG may be padding, and its end marker is two bytes.
  for (const char* kind : {"rgb.jpg", "progressive.jpg", "cmyk.jpg"}) expect_every_cut_refused(kind, 8, jpeg);
}

TEST(Damage, altered_bytes_give_a_picture_or_an_error) {
  for (const char* kind : {"rgba.png", "interlaced.png", "rgb.jpg", "progressive.jpg", "turned.jpg"}) {
    const auto bytes = data_bytes(kind);
    for (std::size_t at = 0; at < bytes.size(); ++at)
      for (const int flip : {0x01, 0x80, 0xFF}) {
        auto altered = bytes;
        altered[at] = static_cast<std::uint8_t>(altered[at] ^ flip);
        try {
          const Image image =
              std::string(kind).ends_with("png") ? decode_png(altered, kind) : decode_jpeg(altered, kind);
          EXPECT_FALSE(image.empty());
        } catch (const Error&) {
        }
      }
  }
}

TEST(Damage, errors_name_the_file) {
  const Folder folder;
  const auto path = folder.path / "notes.txt";
  replace_file(path.string(), "not a picture");
  for (const auto& act :
       {std::function<void()>([&] { read_image(path); }), std::function<void()>([&] { read_png(path); }),
        std::function<void()>([&] { read_jpeg(path); }),
        std::function<void()>([&] { read_image_size(path); })}) {
    try {
      act();
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("notes.txt"), std::string::npos);
      EXPECT_FALSE(error.remedy().empty());
    }
  }
  EXPECT_THROW(read_image(folder.path / "missing.png"), Error);
}

}  // namespace
}  // namespace tessera::io
