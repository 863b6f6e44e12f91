// PixArt-alpha and class-conditional DiT as settings of the backbone "dit": initial values, captions of
// unequal length, and what is an error.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "plugin/slots/modulation.hpp"
#include "unit/model/models.hpp"

namespace tessera {
namespace {

using test::expect_near;
using test::Model;
using test::random_tensor;
using test::small_model;
using test::to_doubles;

constexpr std::int64_t length = 10;
constexpr std::int64_t caption_width = 24;

Backbone::Input input_of(DType type, std::int64_t batch, std::vector<std::int64_t> lengths = {}) {
  const std::vector<double> sides(static_cast<std::size_t>(batch), 512.0);
  const std::vector<double> ones(static_cast<std::size_t>(batch), 1.0);
  const std::vector<std::int64_t> labels(static_cast<std::size_t>(batch), 3);
  return {ops::Variable(random_tensor({batch, 4, 8, 8}, type, 1)),
          random_tensor({batch}, type, 2, 0, 1000),
          {{ops::Variable(random_tensor({batch, length, caption_width}, type, 3)), std::move(lengths)},
           {sides, sides, ones, labels}}};
}

/// The parameters' gradients of sum_i w_i output_i.
std::vector<double> gradients(Model& model, const Backbone::Input& input) {
  model.store->clear_gradients();
  const ops::Variable output = model.backbone->forward(input);
  ops::backward(output, random_tensor(output.shape(), output.dtype(), 9));
  model.store->zero_missing_gradients();
  return to_doubles(model.store->gradients());
}

TEST(PixArt, OutputIsZeroAtInitialisation) {
  for (const char* name : {"pixart/model-xl-2", "pixart/model-xl-2-ms", "pixart/model-dit-xl-2"}) {
    SCOPED_TRACE(name);
    Model model = small_model(name);
    model.initialise("float32");
    const ops::Variable output = model.backbone->forward(input_of(DType::f32, 2, {4, 10}));
    EXPECT_TRUE((output.shape() == Shape{2, 8, 8, 8}));
    for (const double value : to_doubles(output.value())) ASSERT_EQ(value, 0.0);
    model.randomise();
    const std::vector<double> acting = to_doubles(model.backbone->forward(input_of(DType::f32, 2)).value());
    EXPECT_GT(*std::max_element(acting.begin(), acting.end()), 0.1);
  }
}

/// Checks the extremes of a uniform distribution, or the deviation of a normal one.
void expect_uniform(const Model& model, const std::string& name, double bound) {
  double largest = 0;
  for (const double value : to_doubles(model.value(name))) largest = std::max(largest, std::abs(value));
  EXPECT_LE(largest, bound * (1 + 1e-6)) << name;
  EXPECT_GE(largest, 0.98 * bound) << name;
}
void expect_normal(const Model& model, const std::string& name, double deviation) {
  const std::vector<double> values = to_doubles(model.value(name));
  double squares = 0;
  for (const double value : values) squares += value * value;
  const auto count = static_cast<double>(values.size());
  EXPECT_NEAR(std::sqrt(squares / count) / deviation, 1.0, 5 / std::sqrt(2 * count)) << name;
}
void expect_zero(const Model& model, const std::string& name) {
  for (const double value : to_doubles(model.value(name))) ASSERT_EQ(value, 0.0) << name;
}

TEST(PixArt, InitialValues) {
  Model model = small_model("pixart/model-xl-2-ms");
  model.initialise("float32");
  const double width = 48;
  expect_uniform(model, "blocks.1.attn.qkv.weight", std::sqrt(6 / (4 * width)));
  expect_uniform(model, "blocks.1.attn.proj.weight", std::sqrt(6 / (2 * width)));
  expect_uniform(model, "blocks.1.cross_attn.q_linear.weight", std::sqrt(6 / (2 * width)));
  expect_uniform(model, "blocks.1.cross_attn.kv_linear.weight", std::sqrt(6 / (3 * width)));
  expect_uniform(model, "blocks.1.mlp.fc1.weight", std::sqrt(6 / (5 * width)));
  expect_uniform(model, "blocks.1.mlp.fc2.weight", std::sqrt(6 / (5 * width)));
  expect_uniform(model, "x_embedder.proj.weight", std::sqrt(6 / (16 + width)));
  for (const char* name :
       {"t_embedder.mlp.0.weight", "t_embedder.mlp.2.weight", "t_block.1.weight",
        "y_embedder.y_proj.fc1.weight", "y_embedder.y_proj.fc2.weight", "csize_embedder.mlp.0.weight",
        "csize_embedder.mlp.2.weight", "ar_embedder.mlp.0.weight", "ar_embedder.mlp.2.weight"}) {
    expect_normal(model, name, 0.02);
  }
  expect_normal(model, "blocks.1.scale_shift_table", 1 / std::sqrt(width));
  expect_normal(model, "final_layer.scale_shift_table", 1 / std::sqrt(width));
  expect_normal(model, "y_embedder.y_embedding", 1 / std::sqrt(static_cast<double>(caption_width)));
  for (const char* name : {"blocks.1.cross_attn.proj.weight", "blocks.1.cross_attn.proj.bias",
                           "final_layer.linear.weight", "final_layer.linear.bias", "blocks.1.attn.qkv.bias",
                           "t_block.1.bias", "y_embedder.y_proj.fc1.bias"}) {
    expect_zero(model, name);
  }
}

TEST(PixArt, InitialValuesOfTheClassConditionalModel) {
  Model model = small_model("pixart/model-dit-xl-2");
  model.initialise("float32");
  expect_zero(model, "blocks.1.adaLN_modulation.1.weight");
  expect_zero(model, "final_layer.adaLN_modulation.1.weight");
  expect_zero(model, "x_embedder.proj.bias");
  expect_uniform(model, "blocks.1.attn.qkv.weight", std::sqrt(6 / (4 * 48.0)));
  expect_normal(model, "y_embedder.embedding_table.weight", 0.02);
  EXPECT_TRUE((model.value("y_embedder.embedding_table.weight").shape() == Shape{1001, 48}));
  EXPECT_THROW((void)model.store->slot("blocks.0.cross_attn.proj.weight"), Error);
}

TEST(PixArt, PackedCaptionsAreThoseCutToTheirLength) {
  Model model = small_model("pixart/model-xl-2");
  model.initialise("float64");
  model.randomise();
  const std::vector<std::int64_t> lengths{3, 10, 1};
  Backbone::Input input = input_of(DType::f64, 3, lengths);
  const std::vector<double> packed = to_doubles(model.backbone->forward(input).value());

  // Padding is not read at all.
  const Tensor features = input.condition.captions.features.value();
  std::vector<double> spoilt = to_doubles(features);
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    const auto image = static_cast<std::int64_t>(b);
    std::fill(spoilt.begin() + (image * length + lengths[b]) * caption_width,
              spoilt.begin() + (image + 1) * length * caption_width,
              std::numeric_limits<double>::quiet_NaN());
  }
  input.condition.captions.features = ops::Variable(Tensor::from_host(spoilt, features.shape()));
  EXPECT_EQ(to_doubles(model.backbone->forward(input).value()), packed);

  // Each picture by itself, its caption cut, every position attended to.
  const std::size_t per_image = packed.size() / 3;
  for (std::int64_t b = 0; b < 3; ++b) {
    Backbone::Input one = input_of(DType::f64, 1);
    const auto real = lengths[static_cast<std::size_t>(b)];
    one.latent = ops::Variable(input.latent.value().slice(b, b + 1));
    one.noise_level = input.noise_level.slice(b, b + 1);
    one.condition.captions.features = ops::Variable(
        features.slice(b, b + 1).view({length, caption_width}).slice(0, real).view({1, real, caption_width}));
    const auto first = packed.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(b) * per_image);
    expect_near(to_doubles(model.backbone->forward(one).value()),
                {first, first + static_cast<std::ptrdiff_t>(per_image)}, 1e-12);
  }
}

TEST(PixArt, AnEmptyCaptionKeepsOneToken) {
  Model model = small_model("pixart/model-xl-2");
  model.initialise("float64");
  model.randomise();
  const auto output = [&](std::vector<std::int64_t> lengths) {
    return to_doubles(model.backbone->forward(input_of(DType::f64, 2, std::move(lengths))).value());
  };
  EXPECT_EQ(output({0, 4}), output({1, 4}));
  EXPECT_NE(output({0, 4}), output({2, 4}));
  EXPECT_THROW((void)output({11, 4}), Error);
  EXPECT_THROW((void)output({-1, 4}), Error);
  EXPECT_THROW((void)output({4}), Error);
}

TEST(PixArt, RecomputationGivesTheSameGradients) {
  for (const char* name : {"pixart/model-xl-2", "pixart/model-dit-xl-2"}) {
    SCOPED_TRACE(name);
    Model kept = small_model(name);
    Model again = small_model(name, {"model.backbone.recompute=true"});
    for (Model* model : {&kept, &again}) {
      model->initialise("float64");
      model->randomise();
    }
    const Backbone::Input input = input_of(DType::f64, 3, {3, 10, 1});
    expect_near(gradients(again, input), gradients(kept, input), 1e-13);
  }
}

TEST(PixArt, TheNullCaptionIsTheModelsTable) {
  Model model = small_model("pixart/model-xl-2");
  model.initialise("float64");
  const std::vector<double> table = to_doubles(model.value("y_embedder.y_embedding"));
  const std::vector<float> null = model.backbone->captions()->null_features(4);
  expect_near(std::vector<double>(null.begin(), null.end()),
              {table.begin(), table.begin() + 4 * caption_width}, 1e-7);
  EXPECT_THROW((void)model.backbone->captions()->null_features(11), Error);
  EXPECT_FALSE(model.store->slot("y_embedder.y_embedding").trainable);
  EXPECT_EQ(model.store->frozen_parameters(), length * caption_width);
  EXPECT_FALSE(model.backbone->captions()->needs_all_positions());
}

TEST(PixArt, APatchMixerTakesAfterTheBackbone) {
  for (const char* name : {"pixart/model-xl-2", "pixart/model-dit-xl-2"}) {
    SCOPED_TRACE(name);
    Model model = small_model(name, {"model.patch_mixer.name=\"patch-mixer\"", "model.patch_mixer.depth=1",
                                     "model.patch_mixer.width=24", "model.patch_mixer.experts_every=0"});
    model.initialise("float32");
    const bool captions = model.backbone->captions() != nullptr;
    std::vector<std::string> names;
    for (const nn::ParameterSlot& slot : model.store->slots()) names.push_back(slot.name);
    const auto has = [&](const char* one) { return std::ranges::find(names, one) != names.end(); };
    EXPECT_EQ(has("patch_mixer_modulation.t_block.1.weight"), captions);
    EXPECT_EQ(has("patch_mixer.0.cross_attn.proj.weight"), captions);
    EXPECT_EQ(has("patch_mixer_map_y.1.weight"), captions);
    EXPECT_FALSE(has("patch_mixer.0.norm1.weight"));
    if (captions) expect_zero(model, "patch_mixer.0.cross_attn.proj.weight");
    const TokenMask mask = make_token_mask({5, 1, 9, 0, 2, 3, 4, 6, 7, 8, 10, 11, 12, 13, 14, 15}, 1, 16, 4);
    Backbone::Input input = input_of(DType::f32, 1, {3});
    input.mask = &mask;
    model.randomise();
    for (const double value : gradients(model, input)) ASSERT_TRUE(std::isfinite(value));
  }
}

TEST(PixArt, AModelSaysHowItReadsCaptions) {
  EXPECT_THROW(Model("pixart/model-xl-2", {"model.caption={}"}), Error);
  Model model = small_model("pixart/model-dit-xl-2");
  // What a checkpoint keeps builds the same model again.
  EXPECT_EQ(model.assembly->resolved().get_string("caption.name"), "none");
}

TEST(PixArt, ModulationNeedsTheWidthOfTheTokensOnlyInTheFinalLayer) {
  Assembly assembly(test::registry(), ConfigTree::parse("[modulation]\nname = \"adaln-single\"", "test"));
  Modulation::Spec spec{.blocks = 2, .width = 8, .condition_width = 12};
  EXPECT_NO_THROW((void)assembly.make<Modulation>("modulation", spec));
  spec.final_layer = true;
  EXPECT_THROW((void)assembly.make<Modulation>("modulation", spec), Error);
}

}  // namespace
}  // namespace tessera
