// What a block keeps from forward to backward, counted: nothing is kept twice, and nothing that is cheap to
// make again.
#include <gtest/gtest.h>

#include <string>

#include "unit/model/models.hpp"

namespace tessera {
namespace {

using test::Model;
using test::random_tensor;

constexpr std::int64_t batch = 2;
constexpr std::int64_t tokens = 64;
constexpr std::int64_t caption_tokens = 10;
constexpr std::int64_t width = 128;
constexpr std::int64_t heads = 4;
constexpr std::int64_t hidden = 512;  // the feed-forward network's

/// Bytes that a forward pass of `depth` blocks leaves to backward.
std::int64_t kept_bytes(int depth, const char* captions, const std::vector<const char*>& more) {
  const std::string blocks = "model.backbone.depth=" + std::to_string(depth);
  std::vector<const char*> settings{"text_encoder.width=24",
                                    "text_encoder.length=10",
                                    "model.backbone.width=128",
                                    "model.backbone.head_dim=32",
                                    "model.backbone.qkv_ratio_first=1.0",
                                    "model.backbone.mlp_ratio_first=4.0",
                                    "model.backbone.experts_every=0",
                                    "model.patch_mixer={name=\"none\"}",
                                    captions,
                                    blocks.c_str()};
  settings.insert(settings.end(), more.begin(), more.end());
  Model model("microdit/model-tiny-2", settings);
  model.initialise("float32");
  const Tensor latent = random_tensor({batch, 4, 16, 16}, DType::f32, 1);
  const Tensor caption = random_tensor({batch, caption_tokens, 24}, DType::f32, 2);
  const Tensor level = random_tensor({batch}, DType::f32, 3);
  std::int64_t kept = 0;
  for (int pass = 0; pass < 2; ++pass) {  // tables of positions are made in the first one and stay
    const std::size_t before = memory_statistics().current;
    const ops::Variable output =
        model.backbone->forward({ops::Variable(latent), level, {{ops::Variable(caption), {}}, {}}});
    kept = static_cast<std::int64_t>(memory_statistics().current - before);
  }
  return kept;
}

/// Bytes of a block: what two times as many blocks keep more, a block.
std::int64_t block_bytes(const char* captions, const std::vector<const char*>& more = {}) {
  return (kept_bytes(12, captions, more) - kept_bytes(6, captions, more)) / 6;
}

/// `large` numbers, and few small ones: means and deviations of norms, logarithms of softmax sums, and the
/// block's modulation.
void expect_kept(std::int64_t bytes, std::int64_t large) {
  EXPECT_GE(bytes, 4 * large);
  EXPECT_LT(bytes, 4 * (large + batch * tokens * width / 2));
}

TEST(BlockMemory, OfABlockThatReadsCaptions) {
  const std::int64_t stream = batch * tokens * width;
  const std::int64_t attention = (3 + 1 + 1) * stream;  // q, k, v; their result; its projection
  // Queries and their result; the sum with the stream, which the norms on both sides read; keys and values.
  const std::int64_t cross = 3 * stream + 2 * batch * caption_tokens * width;
  const std::int64_t feed_forward = 2 * batch * tokens * hidden + stream;  // gate and value; their projection
  const std::int64_t large = attention + cross + feed_forward;
  const char* captions = "model.caption.name=\"attention-pooled\"";
  // SwiGLU's hidden width is two thirds of the ratio.
  expect_kept(
      block_bytes(captions, {"model.backbone.mlp_ratio_last=6.0", "model.backbone.mlp_ratio_first=6.0"}),
      large);
}

TEST(BlockMemory, OfABlockWithoutCaptions) {
  const std::int64_t stream = batch * tokens * width;
  // Of three values of the stream one.
  const std::int64_t large = 5 * stream + batch * tokens * hidden + stream + 2 * stream / 3;
  expect_kept(block_bytes("model.caption={name=\"none\"}", {"model.feed_forward={name=\"gelu-mlp\"}"}),
              large);
}

}  // namespace
}  // namespace tessera
