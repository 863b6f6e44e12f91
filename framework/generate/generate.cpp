#include "generate/generate.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <span>

#include "base/random.hpp"
#include "data/aspect_buckets.hpp"
#include "io/picture_grid.hpp"
#include "io/resize.hpp"
#include "ops/graph.hpp"

namespace tessera::generate {
namespace {

/// A latent, and the picture that it stands for.
struct Geometry {
  std::int64_t channels, height, width;
  PictureSize picture;
  [[nodiscard]] std::int64_t values() const { return channels * height * width; }
};

Geometry geometry_of(const Backbone& backbone, const RunComponents& components, const PictureSize& picture) {
  const std::int64_t pixels = components.codec().downsampling();
  const std::int64_t unit = pixels * backbone.patch_size();
  for (const std::int64_t side : {picture.height, picture.width}) {
    if (side >= unit && side % unit == 0) continue;
    throw Error("pictures of " + std::to_string(picture.width) + " x " + std::to_string(picture.height) +
                    " pixels do not suit the model, whose tokens stand for " + std::to_string(unit) +
                    " pixels a side",
                {}, "choose multiples of " + std::to_string(unit));
  }
  return {components.codec().channels(), picture.height / pixels, picture.width / pixels, picture};
}

PictureSize size_of(const Request& request, std::int64_t prompt) {
  if (request.sizes.empty()) return {request.resolution, request.resolution, 1.0};
  return request.sizes[static_cast<std::size_t>(prompt) % request.sizes.size()];
}

/// What the model is told of one more picture: the caption, the class that the prompt names, and the size
/// that is asked for in the place of an original's.
void add_condition(const std::string& prompt, const Backbone& backbone, const TextEncoder& encoder,
                   const PictureSize& picture, DenoiserRequest& what) {
  if (backbone.captions() != nullptr) {
    const EncodedText encoded = encoder.encode(prompt);
    what.captions.insert(what.captions.end(), encoded.features.begin(), encoded.features.end());
    what.caption_lengths.push_back(encoded.real_tokens);
  }
  if (const AuxiliaryConditioner* auxiliary = backbone.auxiliary(); auxiliary && auxiliary->classes() > 0) {
    what.facts.label.push_back(auxiliary->label_of(prompt));
  }
  what.facts.height.push_back(static_cast<double>(picture.height));
  what.facts.width.push_back(static_cast<double>(picture.width));
  what.facts.aspect.push_back(picture.ratio);
}

/// The latent of the control map for a prompt's pictures, made as those of training data are.
std::vector<float> control_of(const RunComponents& components, const Request& request,
                              const PictureSize& size, std::int64_t prompt) {
  const io::Image& given = request.controls[static_cast<std::size_t>(prompt) % request.controls.size()];
  const io::Image fitting =
      io::resize_and_crop(given, {static_cast<int>(size.width), static_cast<int>(size.height)});
  return components.codec().encode(request.controls_are_maps ? fitting
                                                             : components.control()->extract(fitting));
}

/// Some pictures of the request, all of one size, in one run of the sampler. They are numbered prompt by
/// prompt.
std::vector<io::Image> sample_batch(const Backbone& backbone, const RunComponents& components,
                                    const Request& request, const Geometry& geometry,
                                    std::span<const std::int64_t> numbers) {
  const auto values = static_cast<std::size_t>(geometry.values());
  const TextEncoder& encoder = components.text_encoder();
  DenoiserRequest what;
  what.shape = {static_cast<std::int64_t>(numbers.size()), geometry.channels, geometry.height,
                geometry.width};
  what.caption_width = encoder.width();
  what.guidance = request.guidance;
  const auto prompt_of = [&](std::int64_t i) -> const std::string& {
    return request.prompts[static_cast<std::size_t>(i / request.per_prompt)];
  };
  for (const std::int64_t i : numbers) {
    add_condition(prompt_of(i), backbone, encoder, geometry.picture, what);
    if (request.controls.empty()) continue;
    const std::vector<float> control =
        control_of(components, request, geometry.picture, i / request.per_prompt);
    what.control.insert(what.control.end(), control.begin(), control.end());
  }
  const NoiseSource noise = [&](int draw) {
    std::vector<float> normals(values);
    std::vector<double> all;
    for (const std::int64_t i : numbers) {
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
    throw Error("the model gave NaN or infinity while sampling '" + prompt_of(numbers.back()) + "'", {},
                "its weights are broken: use an earlier checkpoint, or float32 instead of bfloat16");
  }
  std::vector<io::Image> images;
  for (std::size_t k = 0; k < numbers.size(); ++k) {
    const auto first = latents.begin() + static_cast<std::ptrdiff_t>(k * values);
    const std::vector<float> latent(first, first + static_cast<std::ptrdiff_t>(values));
    images.push_back(components.codec().decode(latent, geometry.height, geometry.width));
  }
  return images;
}

/// Pictures [begin, end) of the request, those of one size together in batches.
std::vector<Picture> sample_range(const Backbone& backbone, const RunComponents& components,
                                  const Request& request, std::int64_t begin, std::int64_t end) {
  if (!request.controls.empty() && !components.reads_control()) {
    throw Error("the model has no adapter that reads control maps", {},
                "draw without control, or with a model that was trained with [model.adapter] name = "
                "\"controlnet\"");
  }
  const ops::NoGradScope no_grad;
  std::vector<Picture> pictures;
  std::map<PictureSize, std::vector<std::int64_t>> by_size;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t prompt = i / request.per_prompt;
    pictures.push_back(
        {request.prompts[static_cast<std::size_t>(prompt)], prompt, i % request.per_prompt, {}});
    by_size[size_of(request, prompt)].push_back(i);
  }
  std::int64_t done = 0;
  for (const auto& [size, numbers] : by_size) {
    const Geometry geometry = geometry_of(backbone, components, size);
    for (std::size_t first = 0; first < numbers.size(); first += static_cast<std::size_t>(request.batch)) {
      const std::size_t count = std::min(numbers.size() - first, static_cast<std::size_t>(request.batch));
      const auto batch = std::span(numbers).subspan(first, count);
      std::vector<io::Image> images = sample_batch(backbone, components, request, geometry, batch);
      for (std::size_t k = 0; k < count; ++k) {
        pictures[static_cast<std::size_t>(batch[k] - begin)].image = std::move(images[k]);
      }
      done += static_cast<std::int64_t>(count);
      if (request.progress) request.progress(done, end - begin);
    }
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

/// Width, height and pixels of each picture.
std::string packed(const std::vector<Picture>& pictures) {
  std::string bytes;
  for (const Picture& picture : pictures) {
    for (const int side : {picture.image.width, picture.image.height}) {
      bytes.append(reinterpret_cast<const char*>(&side), sizeof(side));
    }
    bytes.append(reinterpret_cast<const char*>(picture.image.pixels.data()), picture.image.pixels.size());
  }
  return bytes;
}

/// The images of packed(), appended.
void unpack(const std::string& bytes, std::vector<io::Image>& images) {
  for (std::size_t at = 0; at < bytes.size();) {
    int sides[2];
    std::memcpy(sides, bytes.data() + at, sizeof(sides));
    io::Image& image = images.emplace_back(sides[0], sides[1]);
    std::memcpy(image.pixels.data(), bytes.data() + at + sizeof(sides), image.pixels.size());
    at += sizeof(sides) + image.pixels.size();
  }
}

}  // namespace

std::vector<PictureSize> bucket_sizes(const RunComponents& components, std::int64_t resolution,
                                      const std::vector<double>& aspects) {
  if (aspects.empty()) return {};
  const std::int64_t unit = components.token_side();
  const std::vector<data::AspectBucket> buckets = data::aspect_buckets(std::span(&resolution, 1), unit);
  std::vector<PictureSize> sizes;
  for (const double aspect : aspects) {
    const data::AspectBucket& nearest = buckets[data::nearest_bucket(buckets, aspect, 1.0)];
    sizes.push_back({nearest.sizes.front().height, nearest.sizes.front().width, nearest.ratio});
  }
  return sizes;
}

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

  std::vector<io::Image> images;
  for (const std::string& bytes : gathered) unpack(bytes, images);
  std::vector<Picture> all;
  for (io::Image& image : images) {
    const auto index = static_cast<std::int64_t>(all.size());
    const std::int64_t prompt = index / request.per_prompt;
    all.push_back({request.prompts[static_cast<std::size_t>(prompt)], prompt, index % request.per_prompt,
                   std::move(image)});
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
