#pragma once
// Invariant: a build leaves a complete data set in its folder or, when it fails, none; memory holds some
// records at a time, whatever the list's length.

#include <filesystem>

#include "datasets/shard_builder.hpp"

namespace tessera::datasets::features {

struct Options : ShardOptions {
  std::filesystem::path list;            ///< JSON lines (FeatureRow)
  std::vector<std::int64_t> sizes{256};  ///< nominal picture sides, one for each of a line's latents
  /// Latents of any aspect ratio; otherwise all are squares of the size.
  bool buckets = false;
  data::LatentKind latent = data::LatentKind::sample;
  double factor = 1;  ///< multiplies latents (mean and deviation of a posterior), which shards hold scaled
};

/// Packs latents and caption features that another program computed. A posterior's file is [2, C, h, w] or
/// [2 C, h, w], mean then standard deviation (recipes P.E.1). Captions shorter than the text encoder's length
/// are padded with zeros; without any features in the whole list the shards have no captions. With
/// Encoders::control, which then only names their kind, the lines' control maps are packed too.
/// @throws Error when a file is missing, damaged or of another shape than codec, size or text encoder say,
/// some lines have features and others none, there is nothing to train on, or the folder already holds
/// shards.
BuildReport build_feature_shards(const Encoders& encoders, const Options& options);

}  // namespace tessera::datasets::features
