#pragma once
// Invariant: a picture depends on the model, the prompt, the prompt's place in the list, its number among the
// pictures of that prompt and the seed; on the size of batches and the number of ranks only through the order
// in which sums are rounded.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "io/image.hpp"
#include "plugin/run_components.hpp"

namespace tessera::generate {

/// What a picture measures, in pixels, and the aspect ratio that the model is told of it.
struct PictureSize {
  std::int64_t height = 0, width = 0;
  double ratio = 1;  ///< height / width of the aspect bucket
  friend auto operator<=>(const PictureSize&, const PictureSize&) = default;
};

struct Request {
  std::vector<std::string> prompts;
  std::int64_t per_prompt = 1;  ///< pictures of each prompt
  std::int64_t resolution = 0;  ///< side of square pictures, and nominal side of others, pixels
  /// Of the pictures of each prompt; taken in turn where there are more prompts. Empty: squares.
  std::vector<PictureSize> sizes;
  /// Pictures whose control maps those of each prompt follow; taken in turn like sizes. Empty: none.
  std::vector<io::Image> controls;
  bool controls_are_maps = false;  ///< these are maps already, not pictures to make them from
  std::uint64_t seed = 0;
  double guidance = 1;     ///< at most 1: none
  int steps = 0;           ///< 0: the sampler's default
  std::int64_t batch = 8;  ///< pictures at a time; guidance doubles what the network sees
  /// Told after each batch how many of this rank's pictures are done; may be empty.
  std::function<void(std::int64_t done, std::int64_t all)> progress;
};

struct Picture {
  std::string prompt;
  std::int64_t prompt_index = 0;
  std::int64_t number = 0;  ///< among the pictures of its prompt
  io::Image image;
};

/// For each aspect, height / width, the nearest of the model's aspect buckets at a nominal side.
/// @throws Error when the side does not suit codec and model.
[[nodiscard]] std::vector<PictureSize> bucket_sizes(const RunComponents& components, std::int64_t resolution,
                                                    const std::vector<double>& aspects);

/// Samples with the weights that the backbone holds, at the position scale it has.
/// @return all pictures, prompt by prompt. @throws Error when a size does not suit codec and model, there are
/// controls that the model does not read, or the model gives NaN.
[[nodiscard]] std::vector<Picture> generate(const Backbone& backbone, const RunComponents& components,
                                            const Request& request);
/// The same, the pictures shared out over the ranks. Collective. @return all pictures on rank 0, none
/// elsewhere.
[[nodiscard]] std::vector<Picture> generate(const Backbone& backbone, const RunComponents& components,
                                            const Request& request, const comm::Communicator& world);

/// The pictures with their prompts under them; one prompt a row when it has several pictures.
[[nodiscard]] io::Image grid_of(const std::vector<Picture>& pictures, const std::string& title = {});

}  // namespace tessera::generate
