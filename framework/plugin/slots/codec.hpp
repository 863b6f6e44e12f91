#pragma once
// Slot "codec": between pictures and latents.

#include <cstdint>
#include <string>
#include <vector>

#include "io/image.hpp"

namespace tessera {

class Codec {
 public:
  static constexpr const char* slot_name = "codec";
  struct Spec {};
  virtual ~Codec() = default;

  [[nodiscard]] virtual std::int64_t channels() const = 0;
  /// Picture pixels per latent element along one side.
  [[nodiscard]] virtual std::int64_t downsampling() const = 0;
  /// Latent [channels, height/downsampling, width/downsampling] of a picture, scaled for the network.
  /// @throws Error when the sides are not multiples of downsampling().
  [[nodiscard]] virtual std::vector<float> encode(const io::Image& picture) const = 0;
  /// The picture of a latent [channels, height, width], clipped to the range of a pixel.
  [[nodiscard]] virtual io::Image decode(const std::vector<float>& latent, std::int64_t height,
                                         std::int64_t width) const = 0;
  /// What a shard records, so that a run with another codec is refused.
  [[nodiscard]] virtual std::string identity() const = 0;
};

}  // namespace tessera
