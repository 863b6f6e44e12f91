#pragma once
// Invariant: every picture in the sequence has a readable header and at least the asked size; with
// Options::skip_bad also a body that decodes, so that load() fails only if the file changes meanwhile.

#include <filesystem>
#include <string>
#include <vector>

#include "datasets/folder/captions_file.hpp"
#include "datasets/source.hpp"

namespace tessera::datasets::folder {

struct Options {
  std::filesystem::path folder;             ///< image paths in the captions file are relative to it
  std::filesystem::path captions;           ///< CSV or JSON lines; empty: captions.csv, captions.jsonl or
                                            ///< metadata.jsonl in the folder, whichever is there
  CaptionFields caption_fields{"caption"};  ///< the first is a picture's caption, further ones become
                                            ///< alternative captions; each row must have all
  bool alternatives = true;  ///< also the captions in the key alternative_captions, after those
  int min_side = 0;          ///< pictures whose short side is below are left out and counted (recipes M.E.3)
  bool skip_bad = false;  ///< leave out and count missing or damaged pictures and empty captions, which are
                          ///< errors otherwise; decodes every picture once more, when the source is opened
};

/// Any folder of PNG and JPEG files with a captions file (captions_file.hpp).
class FolderSource final : public Source {
 public:
  /// @throws Error naming captions file and line for a missing or damaged picture, or if none is left.
  explicit FolderSource(const Options& options);

  [[nodiscard]] std::string name() const override { return "folder"; }
  [[nodiscard]] std::size_t size() const override { return pictures_.size(); }
  [[nodiscard]] const Picture& picture(std::size_t index) const override { return pictures_.at(index); }
  [[nodiscard]] io::Image load(std::size_t index) const override;
  [[nodiscard]] std::optional<io::Image> load_control(std::size_t index) const override;
  [[nodiscard]] std::vector<LeftOut> left_out() const override;

 private:
  std::filesystem::path captions_;
  std::vector<Picture> pictures_;
  std::vector<std::filesystem::path> files_;
  std::vector<std::filesystem::path> controls_;  // empty where a row names none
  std::vector<std::size_t> lines_;
  std::size_t small_ = 0;
  std::size_t bad_ = 0;
  std::string first_bad_;
  int min_side_ = 0;
};

}  // namespace tessera::datasets::folder
