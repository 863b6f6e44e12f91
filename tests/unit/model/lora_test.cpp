// Which matrices of the published models LoRA adapts, and with how many parameters.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nn/layers.hpp"
#include "unit/model/models.hpp"

namespace tessera {
namespace {

using testing::HasSubstr;

using test::Adapted;
using test::failure;

/// The matrices with branches.
std::vector<std::string> adapted_names(Adapted& model) {
  std::vector<std::string> all;
  for (const nn::NamedLinear& named : nn::linears(*model.backbone)) {
    if (named.linear->has_low_rank()) all.push_back(named.name);
  }
  return all;
}

TEST(Lora, OfRank16TrainsLessThanTwoPercentOfPixArt) {
  Adapted model("pixart/model-xl-2", {"model.adapter={name=\"lora\"}"});
  std::int64_t trained = 0;
  std::int64_t all = 0;
  for (const nn::NamedParameter& named : model.backbone->parameters()) {
    const std::int64_t count = named.parameter->shape().numel();
    const bool added = named.name.find(".lora_") != std::string::npos;
    EXPECT_EQ(named.parameter->options().trainable, added) << named.name;
    (added ? trained : all) += count;
  }
  // Per block qkv, proj; q, kv, proj; fc1, fc2; then the caption's and the noise level's two matrices each.
  const std::int64_t d = 1152;
  const std::int64_t block = (d + 3 * d) + 2 * d + 2 * d + (d + 2 * d) + 2 * d + 2 * (d + 4 * d);
  EXPECT_EQ(trained, 16 * (28 * block + (4096 + d) + 2 * d + (256 + d) + 2 * d));
  EXPECT_LT(static_cast<double>(trained), 0.02 * static_cast<double>(all));
  EXPECT_GT(static_cast<double>(trained), 0.015 * static_cast<double>(all));
  EXPECT_EQ(adapted_names(model).size(), 28U * 7 + 4);
}

TEST(Lora, LeavesRoutersModulationAndHeadOfMicroDitAlone) {
  Adapted model("microdit/model-tiny-2", {"model.adapter={name=\"lora\"}"});
  for (const std::string& name : adapted_names(model)) {
    EXPECT_EQ(name.find("gate"), std::string::npos) << name;
    EXPECT_EQ(name.find("adaLN"), std::string::npos) << name;
    EXPECT_EQ(name.find("final_layer"), std::string::npos) << name;
  }
  EXPECT_THAT(adapted_names(model),
              testing::IsSupersetOf({"blocks.0.attn.qkv", "blocks.1.cross_attn.kv_linear", "blocks.0.mlp.w3",
                                     "patch_mixer.0.attn.proj", "t_embedder.mlp.2", "y_embedder.y_proj.fc1",
                                     "y_emb_preprocess.attn.qkv", "pooled_y_emb_process.fc2"}));
}

TEST(Lora, AdaptsWhatTheTargetsName) {
  Adapted model(
      "pixart/model-xl-2",
      {"model.adapter={name=\"lora\",rank=2,targets=[\"blocks.2*.attn.qkv\",\"final_layer.linear\"]}"});
  EXPECT_EQ(adapted_names(model),
            (std::vector<std::string>{"blocks.2.attn.qkv", "blocks.20.attn.qkv", "blocks.21.attn.qkv",
                                      "blocks.22.attn.qkv", "blocks.23.attn.qkv", "blocks.24.attn.qkv",
                                      "blocks.25.attn.qkv", "blocks.26.attn.qkv", "blocks.27.attn.qkv",
                                      "final_layer.linear"}));
}

TEST(Lora, APatternWithoutAMatchNamesTheNearest) {
  const std::string error = failure({"model.adapter={name=\"lora\",targets=[\"attn.*\",\"attn.qvk\"]}"});
  EXPECT_THAT(error, HasSubstr("'attn.qvk'"));
  EXPECT_THAT(error, HasSubstr("model.adapter.targets"));
  EXPECT_THAT(error, HasSubstr("Did you mean 'attn.qkv'?"));
  EXPECT_THAT(error, HasSubstr("blocks.*.attn.qkv (28)"));
  EXPECT_THAT(failure({"model.adapter={name=\"lora\",targets=[\"nothing.like.it\"]}"}),
              HasSubstr("The matrices are: blocks.*.attn.proj (28)"));
  // The usual targets may be missing, but not all of them.
  EXPECT_THAT(failure({"model.adapter={name=\"lora\",targets=[\"mlp.w*\"]}"}),
              HasSubstr("no target names a matrix"));
  EXPECT_THAT(failure({"model.adapter={name=\"lora\",targets=[]}"}), HasSubstr("targets"));
  EXPECT_THAT(failure({"model.adapter={name=\"lora\",rank=0}"}), HasSubstr("rank"));
  EXPECT_THAT(failure({"model.adapter={name=\"lorra\"}"}), HasSubstr("did you mean 'lora'"));
}

TEST(Lora, AlphaOverRankScalesTheBranch) {
  const auto output = [](const char* adapter) {
    Adapted model("pixart/model-xl-2", {"model.backbone.width=16", "model.backbone.depth=1",
                                        "model.backbone.head_dim=8", adapter});
    nn::Linear* qkv = nullptr;
    for (const nn::NamedLinear& named : nn::linears(*model.backbone)) {
      if (named.name == "blocks.0.attn.qkv") qkv = named.linear;
    }
    model.initialise("float64");
    const ops::Variable x(test::random_tensor({3, 16}, DType::f64, 5));
    const std::vector<double> before = test::to_doubles(qkv->forward(x).value());
    const Tensor up = model.value("blocks.0.attn.qkv.lora_B.weight");
    up.copy_from(test::random_tensor(up.shape(), DType::f64, 6));
    std::vector<double> added = test::to_doubles(qkv->forward(x).value());
    for (std::size_t i = 0; i < added.size(); ++i) added[i] -= before[i];
    return added;
  };
  const std::vector<double> one = output("model.adapter={name=\"lora\",rank=4}");
  std::vector<double> half = output("model.adapter={name=\"lora\",rank=4,alpha=2.0}");
  test::expect_near(output("model.adapter={name=\"lora\",rank=4,alpha=4.0}"), one, 1e-14);
  for (double& value : half) value *= 2;
  test::expect_near(half, one, 1e-14);
  EXPECT_GT(*std::ranges::max_element(one), 0.1);
}

}  // namespace
}  // namespace tessera
