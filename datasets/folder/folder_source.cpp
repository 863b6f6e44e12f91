#include "datasets/folder/folder_source.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "base/error.hpp"
#include "io/image_file.hpp"

namespace tessera::datasets::folder {
namespace {

std::filesystem::path captions_in(const Options& options) {
  if (!options.captions.empty()) return options.captions;
  if (auto found = find_captions_file(options.folder); !found.empty()) return found;
  throw Error(
      "The folder holds no captions file.", options.folder.string(),
      "Put captions.csv (header 'image,caption') or captions.jsonl beside the pictures, or name the file.");
}

bool is_blank(const std::string& text) { return text.find_first_not_of(" \t\r\n") == std::string::npos; }

std::string place(const std::filesystem::path& captions, std::size_t line) {
  return captions.string() + ":" + std::to_string(line);
}

// The error of a picture, told with the line that names it.
Error at_line(const Error& error, const std::filesystem::path& captions, std::size_t line) {
  return Error(error.where() + ": " + error.summary(), place(captions, line),
               "Correct the line, replace the picture, or choose to skip bad pictures.");
}

}  // namespace

FolderSource::FolderSource(const Options& options)
    : captions_(captions_in(options)), min_side_(options.min_side) {
  std::set<std::string> ids;
  CaptionsReader reader(captions_, options.caption_fields);
  for (Row row; reader.next(row);) {
    const std::filesystem::path file = options.folder / row.image;
    io::ImageSize size;
    try {
      if (row.image.empty()) throw Error("The name of the picture is empty.", "image");
      for (const std::string& caption : row.captions)
        if (is_blank(caption)) throw Error("The caption is empty.", row.image);
      size = io::read_image_size(file);
      if (options.skip_bad && std::min(size.width, size.height) >= min_side_) (void)io::read_image(file);
      if (!row.control.empty()) (void)io::read_image_size(options.folder / row.control);
    } catch (const Error& error) {
      if (!options.skip_bad) throw at_line(error, captions_, row.line);
      if (bad_++ == 0) first_bad_ = at_line(error, captions_, row.line).where() + ": " + error.summary();
      continue;
    }
    if (std::min(size.width, size.height) < min_side_) {
      ++small_;
      continue;
    }
    Picture picture;
    // One file may stand on several lines with different captions; the line keeps their ids apart.
    picture.id = ids.insert(row.image).second ? row.image : row.image + "#" + std::to_string(row.line);
    picture.caption = std::move(row.captions.front());
    std::move(row.captions.begin() + 1, row.captions.end(), std::back_inserter(picture.alternative_captions));
    if (options.alternatives)
      std::move(row.alternative_captions.begin(), row.alternative_captions.end(),
                std::back_inserter(picture.alternative_captions));
    picture.group = std::move(row.group);
    picture.subgroup = std::move(row.subgroup);
    picture.original_width = size.width;
    picture.original_height = size.height;
    picture.held_out = row.held_out;
    pictures_.push_back(std::move(picture));
    files_.push_back(file);
    controls_.push_back(row.control.empty() ? std::filesystem::path() : options.folder / row.control);
    lines_.push_back(row.line);
  }
  if (pictures_.empty()) {
    std::string why;
    for (const LeftOut& left : left_out())
      why += (why.empty() ? "" : "; ") + std::to_string(left.count) + " left out: " + left.reason;
    throw Error("The data set is empty" + (why.empty() ? "" : " (" + why + ")") + ".", captions_.string(),
                "Add pictures, or lower the least side.");
  }
}

io::Image FolderSource::load(std::size_t index) const {
  try {
    return io::read_image(files_.at(index));
  } catch (const Error& error) {
    throw at_line(error, captions_, lines_.at(index));
  }
}

std::optional<io::Image> FolderSource::load_control(std::size_t index) const {
  if (controls_.at(index).empty()) return {};
  try {
    return io::read_image(controls_[index]);
  } catch (const Error& error) {
    throw at_line(error, captions_, lines_.at(index));
  }
}

std::vector<LeftOut> FolderSource::left_out() const {
  std::vector<LeftOut> reasons;
  if (small_ > 0) reasons.push_back({"short side below " + std::to_string(min_side_) + " pixels", small_});
  if (bad_ > 0) reasons.push_back({"missing, damaged or without caption, the first: " + first_bad_, bad_});
  return reasons;
}

}  // namespace tessera::datasets::folder
