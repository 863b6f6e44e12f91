#pragma once
// Invariant: one line is in memory at a time; a line is understood wholly or refused with its number.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "datasets/record_text.hpp"

namespace tessera::datasets::features {

/// What another program computed of one picture, as a line of JSON:
///   {"latents": ["cat_256.npy", "cat_512.npy"], "caption": "a cat", "features": "cat_t5.npy",
///    "width": 640, "height": 480, "id": "cat", "length": 17, "group": "...", "subgroup": "...",
///    "held_out": false, "captions": [{"caption": ..., "features": ..., "length": ...}, ...]}
/// "latents" has one file per resolution, and so has "controls" ("cat_256_hed.npy", ...), the latents of the
/// picture's control maps, where it is given; several captions go into "captions" in the place of the three
/// keys.
struct FeatureRow {
  struct Caption {
    std::string text;
    std::string features;                 ///< .npy of [n, Dt] or [1, n, Dt]; empty: none
    std::optional<std::uint32_t> length;  ///< leading positions that are not padding; none: all n
  };
  std::size_t line = 0;
  std::string id;                    ///< by default the first latent's file
  std::vector<std::string> latents;  ///< .npy of [C, h, w], or the posterior's (LatentKind)
  std::vector<std::string> controls;
  std::vector<Caption> captions;
  std::int32_t width = 0, height = 0;  ///< of the original picture, pixels; 0: that of the latent
  std::string group, subgroup;
  bool held_out = false;
};

class FeatureList {
 public:
  /// @throws Error when the file cannot be read.
  explicit FeatureList(const std::filesystem::path& path);
  /// @throws Error naming the line that is not understood. @return false at the end.
  bool next(FeatureRow& row);

 private:
  RecordText text_;
};

}  // namespace tessera::datasets::features
