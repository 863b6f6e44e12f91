#pragma once
// Slot "control-map": what a picture is reduced to (edges, depth, ...) before an adapter reads it as control.
// The same component makes the maps of the training data and of the pictures that samples are to follow.

#include <string>

#include "io/image.hpp"

namespace tessera {

class ControlMap {
 public:
  static constexpr const char* slot_name = "control-map";
  struct Spec {};
  virtual ~ControlMap() = default;

  /// The map of a picture, of the same size; any thread.
  [[nodiscard]] virtual io::Image extract(const io::Image& picture) const = 0;
  /// What a shard records, so that a run with other maps is refused.
  [[nodiscard]] virtual std::string identity() const = 0;
};

}  // namespace tessera
