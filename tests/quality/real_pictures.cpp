#include "real_pictures.hpp"

#include <array>
#include <map>
#include <set>
#include <string>

#include "datasets/emoji/emoji_source.hpp"
#include "io/resize.hpp"

namespace tessera::quality {
namespace {

constexpr std::array<std::string_view, 3> shapes{"heart", "circle", "square"};

/// Unicode has black squares of four sizes and none called just that.
std::string plain_name(const std::string& caption) {
  return caption == "black large square" ? "black square" : caption;
}

}  // namespace

std::vector<RealPicture> real_emoji() {
  datasets::emoji::Options options;
  options.subset = "shapes";
  options.alternatives = false;
  const datasets::emoji::EmojiSource source(options);

  std::map<std::string, std::map<std::string_view, std::size_t>> found;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const std::string name = plain_name(source.picture(i).caption);
    for (const std::string_view shape : shapes) {
      if (!name.ends_with(" " + std::string(shape))) continue;
      const std::string colour = name.substr(0, name.size() - shape.size() - 1);
      if (colour != "white") found[colour][shape] = i;
    }
  }
  std::vector<RealPicture> pictures;
  for (const auto& [colour, by_shape] : found) {
    if (by_shape.size() != shapes.size()) continue;
    for (const auto& [shape, index] : by_shape) {
      pictures.push_back({{colour, std::string(shape)}, source.load(index)});
    }
  }
  return pictures;
}

std::vector<RealPicture> real_pictures(int side) {
  std::vector<RealPicture> pictures = real_emoji();
  for (RealPicture& picture : pictures) picture.image = io::resize_and_crop(picture.image, {side, side});
  return pictures;
}

}  // namespace tessera::quality
