#pragma once
// Invariant: a Source is a fixed sequence: the same options give the same pictures in the same order on
// every rank, so that ranks may share out the indices. Descriptions are in memory; pixels are loaded
// one picture at a time, and load() may be called from any thread.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "io/image.hpp"

namespace tessera::datasets {

/// What a data set knows about one picture without its pixels.
struct Picture {
  std::string id;       ///< unique in its source: code points, or the file's path relative to the folder
  std::string caption;  ///< UTF-8
  std::vector<std::string> alternative_captions;  ///< other true captions, most specific last; may be empty
  std::string group;                              ///< coarse class; may be empty
  std::string subgroup;                           ///< fine class; may be empty
  int original_width = 0;                         ///< of the file or glyph, in pixels, before any resizing
  int original_height = 0;
  bool held_out = false;  ///< never to be trained on; kept for evaluation
};

/// Pictures left out while the source was opened, by reason.
struct LeftOut {
  std::string reason;
  std::size_t count = 0;
};

/// What a data set builder offers to the shard writer.
class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  /// Short name for the shard header ("emoji", "folder").
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::size_t size() const = 0;
  /// @pre index < size()
  [[nodiscard]] virtual const Picture& picture(std::size_t index) const = 0;
  /// The pixels at the picture's original size, on white. @throws Error naming the file if it is damaged.
  [[nodiscard]] virtual io::Image load(std::size_t index) const = 0;
  /// Its control map, where the source has one of its own. @throws Error as load().
  [[nodiscard]] virtual std::optional<io::Image> load_control(std::size_t /*index*/) const { return {}; }
  [[nodiscard]] virtual std::vector<LeftOut> left_out() const { return {}; }
};

}  // namespace tessera::datasets
