#pragma once
// What loaders return, sample by sample, so that tests can compare runs whatever their ranks and
// micro-batches.

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "data/loader.hpp"
#include "unit/data/sample_shards.hpp"

namespace tessera::test {

struct Sample {
  std::vector<float> latent, control, caption;
  std::int32_t len_real, group, subgroup, width, height;
  std::uint8_t drop;
  data::Draw draw;
  bool operator==(const Sample&) const = default;
};

// Samples of one rank over some steps, keyed by (step, position in the global batch).
using Samples = std::map<std::pair<std::uint64_t, std::uint64_t>, Sample>;

inline void collect(const std::shared_ptr<const data::Dataset>& dataset, const data::LoaderConfig& config,
                    std::uint64_t steps, Samples& into) {
  data::Loader loader(dataset, config);
  for (std::uint64_t i = 0; i < steps * loader.micro_batches(); ++i) {
    const data::HostBatch& batch = loader.next();
    EXPECT_EQ(batch.step, config.first_step + i / loader.micro_batches());
    EXPECT_EQ(batch.micro, i % loader.micro_batches());
    const std::size_t latent = std::size_t{batch.channels} * batch.grid.height * batch.grid.width;
    const std::size_t caption = std::size_t{batch.caption_length} * batch.caption_width;
    for (std::size_t s = 0; s < batch.samples; ++s) {
      const float* features = batch.captions.data() + s * caption;
      const float* values = batch.latents.data() + s * latent;
      const float* map = batch.controls.data() + (batch.controls.empty() ? 0 : s * latent);
      Sample sample{{values, values + latent},
                    {map, map + (batch.controls.empty() ? 0 : latent)},
                    {features, features + caption},
                    batch.len_real[s],
                    batch.group[s],
                    batch.subgroup[s],
                    batch.width[s],
                    batch.height[s],
                    batch.drop_caption[s],
                    batch.draws[s]};
      const bool fresh = into.emplace(std::pair(batch.step, batch.position + s), std::move(sample)).second;
      EXPECT_TRUE(fresh) << "step " << batch.step << " position " << batch.position + s;
    }
  }
}

}  // namespace tessera::test
