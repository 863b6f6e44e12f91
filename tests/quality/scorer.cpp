#include "scorer.hpp"

#include "base/error.hpp"

namespace tessera::quality {

Subject subject_of(std::string_view caption) {
  const std::size_t space = caption.find(' ');
  if (space == std::string_view::npos || space == 0 || caption.find(' ', space + 1) != std::string_view::npos)
    throw Error("'" + std::string(caption) + "' is not a colour and a shape", {}, "Write \"purple heart\".");
  return {std::string(caption.substr(0, space)), std::string(caption.substr(space + 1))};
}

Scorer::Scorer(const std::vector<RealPicture>& pictures) {
  if (pictures.empty()) throw Error("there are no real pictures to measure");
  size_ = pictures.front().image.size();
  std::map<std::string, std::vector<Foreground>> by_colour, by_shape;
  for (const RealPicture& picture : pictures) {
    const std::string name = picture.subject.colour + " " + picture.subject.shape;
    if (picture.image.size() != size_) throw Error("the real pictures differ in size", name);
    Foreground found = find_foreground(picture.image);
    if (found.pixels == 0) throw Error("a real picture has no foreground", name);
    by_colour[picture.subject.colour].push_back(found);
    by_shape[picture.subject.shape].push_back(std::move(found));
  }
  for (const auto& [colour, found] : by_colour) {
    Lab mean;
    const auto count = static_cast<double>(found.size());
    for (const Foreground& one : found) {
      mean.l += one.colour.l / count;
      mean.a += one.colour.a / count;
      mean.b += one.colour.b / count;
    }
    palette_[colour] = mean;
  }
  for (const auto& [shape, found] : by_shape) {
    Mask silhouette(found.front().mask.size());
    for (std::size_t i = 0; i < silhouette.size(); ++i) {
      std::size_t set = 0;
      for (const Foreground& one : found) set += one.mask[i] ? 1 : 0;
      silhouette[i] = 2 * set >= found.size();
    }
    silhouettes_[shape] = std::move(silhouette);
  }
}

Verdict Scorer::judge(const io::Image& picture, const Subject& asked) const {
  const auto colour = palette_.find(asked.colour);
  const auto silhouette = silhouettes_.find(asked.shape);
  if (colour == palette_.end() || silhouette == silhouettes_.end())
    throw Error("no real picture shows this colour or shape", asked.colour + " " + asked.shape);
  if (picture.size() != size_)
    throw Error("a picture to be judged is " + std::to_string(picture.width) + " x " +
                std::to_string(picture.height) + " pixels, the real ones are " + std::to_string(size_.width) +
                " x " + std::to_string(size_.height));

  Verdict verdict;
  const Foreground found = find_foreground(picture);
  if (found.pixels == 0) return verdict;
  verdict.colour_distance = distance(found.colour, colour->second);
  verdict.nearest_colour = asked.colour;
  double least = verdict.colour_distance;
  for (const auto& [name, lab] : palette_) {
    const double here = distance(found.colour, lab);
    if (here < least) {
      least = here;
      verdict.nearest_colour = name;
    }
  }
  verdict.overlap = overlap(found.mask, silhouette->second);
  verdict.nearest_shape = asked.shape;
  double most = verdict.overlap;
  for (const auto& [name, mask] : silhouettes_) {
    const double here = overlap(found.mask, mask);
    if (here > most) {
      most = here;
      verdict.nearest_shape = name;
    }
  }
  verdict.colour_right = verdict.nearest_colour == asked.colour;
  verdict.shape_right = verdict.overlap >= least_overlap;
  verdict.shape_nearest = verdict.shape_right && verdict.nearest_shape == asked.shape;
  return verdict;
}

}  // namespace tessera::quality
