// Codec "precomputed": latents that another program encoded. It knows their shape and what made them, which
// is all that training needs; turning pictures into latents and back takes that other program's weights.

#include "base/error.hpp"
#include "base/schema.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/codec.hpp"

namespace tessera {
namespace {

class PrecomputedLatents : public Codec {
 public:
  explicit PrecomputedLatents(const Config& config)
      : channels_(config.get<std::int64_t>("channels")),
        downsampling_(config.get<std::int64_t>("downsampling")),
        identity_("precomputed encoder=" + config.get<std::string>("encoder") +
                  " scale=" + to_toml_text(config.get<double>("scale"))) {}

  std::int64_t channels() const override { return channels_; }
  std::int64_t downsampling() const override { return downsampling_; }

  std::vector<float> encode(const io::Image&) const override { refuse("encoded"); }
  io::Image decode(const std::vector<float>&, std::int64_t, std::int64_t) const override {
    refuse("decoded");
  }
  std::string identity() const override { return identity_; }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(
        "pictures cannot be " + what + " by the codec 'precomputed', which has no weights (" + identity_ +
            ")",
        "[codec]",
        "train on shards whose latents were encoded elsewhere, or choose a codec that codes pictures, "
        "such as 'pixel'");
  }

  std::int64_t channels_;
  std::int64_t downsampling_;
  std::string identity_;
};

void list(std::vector<Component>& out) {
  Schema schema("precomputed", "Latents encoded elsewhere; trains on them, cannot code pictures itself");
  schema.integer("channels", 4).range(1, 65536).help("Channels of a latent (SDXL's autoencoder 4).");
  schema.integer("downsampling", 8)
      .range(1, 1024)
      .unit("pixels")
      .help("Picture pixels per latent element along one side.");
  schema.string("encoder", "sdxl-vae")
      .help("What encoded the latents; compared with what the shards record.");
  schema.number("scale", 0.13025)
      .range(1e-9, 1e9)
      .help("The factor by which the stored latents were multiplied (SDXL's autoencoder 0.13025).");
  out.push_back(component<Codec>(std::move(schema), [](const Config& config, const Codec::Spec&, Assembly&) {
    return std::make_unique<PrecomputedLatents>(config);
  }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("precomputed_latents", "1.0", tessera::list)
