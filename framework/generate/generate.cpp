#include "generate/generate.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/random.hpp"
#include "io/picture_grid.hpp"
#include "ops/graph.hpp"

namespace tessera::generate {
namespace {

struct Geometry {
  std::int64_t channels, side, pixels;
  [[nodiscard]] std::int64_t values() const { return channels * side * side; }
};

Geometry geometry_of(const Backbone& backbone, const RunComponents& components, std::int64_t resolution) {
  const std::int64_t unit = components.codec().downsampling() * backbone.patch_size();
  if (resolution < unit || resolution % unit != 0) {
    throw Error("pictures of " + std::to_string(resolution) + " x " + std::to_string(resolution) +
                    " pixels do not suit the model, whose tokens stand for " + std::to_string(unit) +
                    " pixels a side",
                {}, "choose a multiple of " + std::to_string(unit));
  }
  return {components.codec().channels(), resolution / components.codec().downsampling(), resolution};
}

/// What the model is told of one more picture: the caption, the class that the prompt names, and the size that
/// is asked for in the place of an original's.
void add_condition(const std::string& prompt, const Backbone& backbone, const TextEncoder& encoder,
                   const Geometry& geometry, DenoiserRequest& what) {
  if (backbone.captions() != nullptr) {
    const EncodedText encoded = encoder.encode(prompt);
    what.captions.insert(what.captions.end(), encoded.features.begin(), encoded.features.end());
    what.caption_lengths.push_back(encoded.real_tokens);
  }
  if (const AuxiliaryConditioner* auxiliary = backbone.auxiliary(); auxiliary && auxiliary->classes() > 0) {
    what.facts.label.push_back(auxiliary->label_of(prompt));
  }
  what.facts.height.push_back(static_cast<double>(geometry.pixels));
  what.facts.width.push_back(static_cast<double>(geometry.pixels));
  what.facts.aspect.push_back(1.0);
}

/// Pictures [begin, end) of the request, numbered prompt by prompt, in one run of the sampler.
void sample_batch(const Backbone& backbone, const RunComponents& components, const Request& request,
                  const Geometry& geometry, std::int64_t begin, std::int64_t end, std::vector<Picture>& out) {
  const auto values = static_cast<std::size_t>(geometry.values());
  const TextEncoder& encoder = components.text_encoder();
  DenoiserRequest what;
  what.shape = {end - begin, geometry.channels, geometry.side, geometry.side};
  what.caption_width = encoder.width();
  what.guidance = request.guidance;

  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t prompt = i / request.per_prompt;
    const std::string& text = request.prompts[static_cast<std::size_t>(prompt)];
    add_condition(text, backbone, encoder, geometry, what);
    out.push_back({text, prompt, i % request.per_prompt, {}});
  }
  const NoiseSource noise = [&](int draw) {
    std::vector<float> normals(values);
    std::vector<double> all;
    for (std::int64_t i = begin; i < end; ++i) {
      const RandomStream stream(RandomKey{.seed = request.seed,
                                          .purpose = Purpose::sampling,
                                          .step = static_cast<std::uint64_t>(i % request.per_prompt)});
      fill_normal(stream, static_cast<std::uint64_t>(i / request.per_prompt),
                  static_cast<std::uint64_t>(draw) * values, normals.data(), values);
      all.insert(all.end(), normals.begin(), normals.end());
    }
    return all;
  };

  const std::unique_ptr<Denoiser> denoiser = components.objective().denoiser(backbone, what);
  const std::vector<double> latents =
      components.sampler().sample(*denoiser, noise, request.steps, SamplerTrace{});
  if (!std::all_of(latents.begin(), latents.end(), [](double value) { return std::isfinite(value); })) {
    throw Error("the model gave NaN or infinity while sampling '" + out.back().prompt + "'", {},
                "its weights are broken: use an earlier checkpoint, or float32 instead of bfloat16");
  }
  const auto count = static_cast<std::size_t>(end - begin);
  for (std::size_t k = 0; k < count; ++k) {
    const auto first = latents.begin() + static_cast<std::ptrdiff_t>(k * values);
    const std::vector<float> latent(first, first + static_cast<std::ptrdiff_t>(values));
    out[out.size() - count + k].image = components.codec().decode(latent, geometry.side, geometry.side);
  }
}

std::vector<Picture> sample_range(const Backbone& backbone, const RunComponents& components,
                                  const Request& request, std::int64_t begin, std::int64_t end) {
  const ops::NoGradScope no_grad;
  const Geometry geometry = geometry_of(backbone, components, request.resolution);
  std::vector<Picture> pictures;
  for (std::int64_t first = begin; first < end; first += request.batch) {
    const std::int64_t last = std::min(first + request.batch, end);
    sample_batch(backbone, components, request, geometry, first, last, pictures);
    if (request.progress) request.progress(last - begin, end - begin);
  }
  return pictures;
}

std::int64_t count_of(const Request& request) {
  if (request.prompts.empty()) throw Error("there is no prompt to sample", {}, "give at least one");
  if (request.per_prompt < 1 || request.batch < 1) {
    throw Error("sampling needs at least one picture per prompt and per batch");
  }
  return static_cast<std::int64_t>(request.prompts.size()) * request.per_prompt;
}

/// Pixels as bytes: all pictures of a request have one size.
std::string packed(const std::vector<Picture>& pictures) {
  std::string bytes;
  for (const Picture& picture : pictures) {
    bytes.append(reinterpret_cast<const char*>(picture.image.pixels.data()), picture.image.pixels.size());
  }
  return bytes;
}

}  // namespace

std::vector<Picture> generate(const Backbone& backbone, const RunComponents& components,
                              const Request& request) {
  return sample_range(backbone, components, request, 0, count_of(request));
}

std::vector<Picture> generate(const Backbone& backbone, const RunComponents& components,
                              const Request& request, const comm::Communicator& world) {
  const std::int64_t count = count_of(request);
  const std::int64_t ranks = world.size();
  const std::int64_t begin = world.rank() * count / ranks;
  const std::int64_t end = (world.rank() + 1) * count / ranks;
  const std::vector<Picture> own = sample_range(backbone, components, request, begin, end);
  const std::vector<std::string> gathered = world.gather(packed(own));
  if (world.rank() != 0) return {};

  std::vector<Picture> all;
  const auto side = static_cast<int>(request.resolution);
  for (const std::string& bytes : gathered) {
    const std::size_t size = io::Image(side, side).pixels.size();
    for (std::size_t at = 0; at < bytes.size(); at += size) {
      const auto index = static_cast<std::int64_t>(all.size());
      const std::int64_t prompt = index / request.per_prompt;
      Picture picture{request.prompts[static_cast<std::size_t>(prompt)], prompt, index % request.per_prompt,
                      io::Image(side, side)};
      std::memcpy(picture.image.pixels.data(), bytes.data() + at, size);
      all.push_back(std::move(picture));
    }
  }
  return all;
}

io::Image grid_of(const std::vector<Picture>& pictures, const std::string& title) {
  std::vector<io::Tile> tiles;
  std::int64_t per_prompt = 1;
  for (const Picture& picture : pictures) {
    tiles.push_back({picture.image, picture.prompt});
    per_prompt = std::max(per_prompt, picture.number + 1);
  }
  io::GridOptions options;
  options.columns = per_prompt > 1 ? static_cast<int>(per_prompt) : 0;
  options.title = title;
  return io::picture_grid(tiles, options);
}

}  // namespace tessera::generate
