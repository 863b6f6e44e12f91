// Codec "pixel": the picture itself in [-1, 1], three channels. Needs no downloaded weights.

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/codec.hpp"

namespace tessera {
namespace {

class PixelCodec : public Codec {
 public:
  std::int64_t channels() const override { return 3; }
  std::int64_t downsampling() const override { return 1; }

  std::vector<float> encode(const io::Image& picture) const override {
    const std::size_t plane =
        static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height);
    std::vector<float> latent(3 * plane);
    for (std::size_t i = 0; i < plane; ++i) {
      for (std::size_t c = 0; c < 3; ++c) {
        latent[c * plane + i] = static_cast<float>(picture.pixels[3 * i + c]) / 127.5F - 1.0F;
      }
    }
    return latent;
  }

  io::Image decode(const std::vector<float>& latent, std::int64_t height, std::int64_t width) const override {
    const auto plane = static_cast<std::size_t>(height * width);
    if (latent.size() != 3 * plane) {
      throw Error("a latent of " + std::to_string(latent.size()) + " values is no picture of " +
                  std::to_string(width) + " x " + std::to_string(height) + " pixels in three channels");
    }
    io::Image picture;
    picture.width = static_cast<int>(width);
    picture.height = static_cast<int>(height);
    picture.pixels.resize(3 * plane);
    for (std::size_t i = 0; i < plane; ++i) {
      for (std::size_t c = 0; c < 3; ++c) {
        const float value = std::round((latent[c * plane + i] + 1.0F) * 127.5F);
        // Written so that a NaN becomes black instead of an undefined conversion.
        picture.pixels[3 * i + c] = value > 0.0F ? static_cast<std::uint8_t>(std::min(value, 255.0F)) : 0;
      }
    }
    return picture;
  }

  std::string identity() const override { return "pixel"; }
};

void list(std::vector<Component>& out) {
  Schema schema("pixel", "The picture itself, scaled to [-1, 1]; needs no weights");
  out.push_back(component<Codec>(std::move(schema), [](const Config&, const Codec::Spec&, Assembly&) {
    return std::make_unique<PixelCodec>();
  }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("pixel_codec", "1.0", tessera::list)
