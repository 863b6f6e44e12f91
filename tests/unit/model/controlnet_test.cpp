// ControlNet on the published models: what it copies, that at first it changes nothing, both wirings written
// out, and gradients against finite differences.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/elementwise.hpp"
#include "plugin/block_stack.hpp"
#include "plugin/slots/masking.hpp"
#include "unit/model/models.hpp"

namespace tessera {
namespace {

using test::Adapted;
using test::failure;
using test::expect_near;
using test::random_tensor;
using test::to_doubles;
using testing::HasSubstr;

constexpr const char* per_block = "model.adapter={name=\"controlnet\"}";
constexpr const char* chain = "model.adapter={name=\"controlnet\",wiring=\"chain\"}";

/// Small models of both recipes: 4 channels, patches of 2.
const std::vector<std::pair<const char*, std::vector<const char*>>>& small() {
  static const std::vector<std::pair<const char*, std::vector<const char*>>> all{
      {"pixart/model-xl-2",
       {"text_encoder.width=24", "text_encoder.length=10", "model.backbone.width=24",
        "model.backbone.depth=3", "model.backbone.head_dim=12"}},
      {"microdit/model-tiny-2",
       {"text_encoder.width=24", "text_encoder.length=10", "model.backbone.width=32",
        "model.backbone.depth=3", "model.backbone.head_dim=16", "model.patch_mixer.width=32",
        "model.patch_mixer.depth=1", "model.feed_forward.multiple_of=16", "model.experts.multiple_of=16",
        "model.experts.experts=2", "model.caption.multiple_of=16"}}};
  return all;
}

Adapted small_model(std::size_t recipe, const char* adapter, const std::vector<const char*>& more = {}) {
  std::vector<const char*> settings = small()[recipe].second;
  settings.push_back(adapter);
  settings.insert(settings.end(), more.begin(), more.end());
  return {small()[recipe].first, settings};
}

/// Half of 16 tokens.
TokenMask half_mask() {
  return make_token_mask({3, 9, 0, 15, 7,  8,  2,  12, 1, 4, 5, 6,  10, 11, 13, 14,
                          1, 4, 5, 6,  10, 11, 13, 14, 3, 9, 0, 15, 7,  8,  2,  12},
                         2, 16, 8);
}

Backbone::Input input_of(DType type, bool controlled, const TokenMask* mask = nullptr) {
  Backbone::Input input{ops::Variable(random_tensor({2, 4, 8, 8}, type, 1)),
                        random_tensor({2}, type, 2, 0, 1),
                        {{ops::Variable(random_tensor({2, 10, 24}, type, 3)), {}}, {}, {}}};
  if (controlled) input.condition.control = random_tensor({2, 4, 8, 8}, type, 4);
  input.mask = mask;
  return input;
}

/// Random values in the base, the copies equal to it, the maps around them zero: the start of training.
void begin(Adapted& model, const char* precision) {
  model.initialise(precision);
  std::uint32_t seed = 100;
  for (const nn::ParameterSlot& slot : model.store->slots()) {
    if (slot.trainable) continue;
    model.value(slot.name).copy_from(
        random_tensor(slot.parameter->shape(), model.store->precision().parameter, seed++, -0.3, 0.3));
  }
  for (const auto& [copy, original] : model.adapter->copies()) {
    model.value(copy).copy_from(model.value(original));
  }
  model.store->refresh_compute_copy();
}

TEST(ControlNet, CopiesThirteenBlocksOfPixArtAsPublished) {
  Adapted model("pixart/model-xl-2", {"model.adapter={name=\"controlnet\",wiring=\"chain\",blocks=13}"});
  std::int64_t trained = 0;
  for (const nn::NamedParameter& named : model.backbone->parameters()) {
    const bool added = named.name.starts_with("controlnet.");
    EXPECT_EQ(named.parameter->options().trainable, added) << named.name;
    if (added) trained += named.parameter->shape().numel();
  }
  EXPECT_EQ(trained, 13 * 21'255'552 + 14 * 1'328'256);
}

TEST(ControlNet, EveryCopiedParameterNamesItsOriginal) {
  for (std::size_t recipe = 0; recipe < small().size(); ++recipe) {
    for (const char* wiring : {per_block, chain}) {
      Adapted model = small_model(recipe, wiring);
      std::map<std::string, Shape> shapes;
      for (const nn::NamedParameter& named : model.backbone->parameters()) {
        shapes[named.name] = named.parameter->shape();
      }
      const auto copies = model.adapter->copies();
      for (const auto& [name, shape] : shapes) {
        if (name.find(".copied_block.") == std::string::npos) continue;
        ASSERT_TRUE(copies.contains(name)) << name;
        ASSERT_TRUE(shapes.contains(copies.at(name))) << copies.at(name);
        EXPECT_EQ(shapes.at(copies.at(name)), shape) << name;
      }
      EXPECT_EQ(copies.at("controlnet.1.copied_block.attn.qkv.weight"), "blocks.1.attn.qkv.weight");
      EXPECT_EQ(shapes.contains("controlnet.2.after_proj.weight"), wiring == per_block);
      EXPECT_EQ(shapes.contains("controlnet.1.before_proj.bias"), wiring == per_block);
      EXPECT_TRUE(shapes.contains("controlnet.0.before_proj.bias"));
    }
  }
}

TEST(ControlNet, AtFirstItIsTheModelBitForBit) {
  const TokenMask mask = half_mask();
  for (std::size_t recipe = 0; recipe < small().size(); ++recipe) {
    for (const char* wiring : {per_block, chain}) {
      for (const char* precision : {"float64", "float32", "bfloat16"}) {
        for (const bool masked : {false, true}) {
          Adapted model = small_model(recipe, wiring);
          begin(model, precision);
          const DType type = model.store->precision().residual;
          const auto outputs = [&](bool controlled) {
            return to_doubles(
                model.backbone->forward(input_of(type, controlled, masked ? &mask : nullptr)).value());
          };
          const std::vector<double> base = outputs(false);
          EXPECT_EQ(outputs(true), base) << recipe << wiring << precision << masked;
          EXPECT_GT(*std::ranges::max_element(base), 0.01);
          model.value("controlnet.0.after_proj.weight")
              .copy_from(random_tensor(model.value("controlnet.0.after_proj.weight").shape(),
                                       model.store->precision().parameter, 8));
          model.store->refresh_compute_copy();
          EXPECT_NE(outputs(true), base);
          EXPECT_EQ(outputs(false), base);
        }
      }
    }
  }
}

/// Z = factor I, without bias.
void set_map(const Adapted& model, const std::string& name, double factor) {
  const Tensor weight = model.value(name + ".weight");
  const std::int64_t width = weight.shape()[0];
  std::vector<double> values(static_cast<std::size_t>(width * width));
  for (std::int64_t i = 0; i < width; ++i) values[static_cast<std::size_t>(i * width + i)] = factor;
  weight.copy_from(Tensor::from_host(values, weight.shape()));
}

TEST(ControlNet, BothWiringsWrittenOut) {
  for (const bool chained : {false, true}) {
    Adapted model = small_model(0, chained ? chain : per_block);
    begin(model, "float64");
    const std::vector<double> out{0.5, 0.25, -0.75};
    for (const nn::NamedModule& named : model.backbone->modules()) {
      if (named.name.ends_with("before_proj")) set_map(model, named.name, 2);
      if (named.name.ends_with("after_proj")) {
        set_map(model, named.name, out.at(static_cast<std::size_t>(named.name.at(11) - '0')));
      }
    }
    const BlockStack& stack = *model.backbone->blocks();
    const ops::Variable start(random_tensor({2, 6, 24}, DType::f64, 5));
    const ops::Variable control(random_tensor({2, 6, 24}, DType::f64, 6));
    const nn::Context context{ops::Variable(random_tensor({2, 10, 24}, DType::f64, 7)), {}};
    const ops::Variable prepared(random_tensor({2, 6, 24}, DType::f64, 8));
    const ops::Variable actual = stack.forward(start, context, prepared, control);

    // The copies have the values of the blocks themselves.
    const auto block = [&](std::int64_t i, const ops::Variable& x) {
      return stack.block(i).forward(x, context, prepared);
    };
    const auto sum = [](const ops::Variable& x, const ops::Variable& y, double factor) {
      return ops::add(x, ops::scale(y, factor));
    };
    ops::Variable x = start;
    if (chained) {
      x = block(0, x);
      const ops::Variable c0 = block(0, sum(x, control, 2));
      const ops::Variable c1 = block(1, c0);
      x = block(1, sum(x, c0, out[0]));
      x = block(2, sum(x, c1, out[1]));
    } else {
      for (std::int64_t i = 0; i < 3; ++i) {
        x = sum(block(i, x), block(i, sum(x, control, 2)), out[static_cast<std::size_t>(i)]);
      }
    }
    expect_near(actual.value(), x.value(), 1e-12, chained ? "chain" : "per-block");
  }
}

TEST(ControlNet, GradientsAreThoseOfFiniteDifferences) {
  const TokenMask mask = half_mask();
  for (std::size_t recipe = 0; recipe < small().size(); ++recipe) {
    for (const char* wiring : {per_block, chain}) {
      for (const bool recompute : {false, true}) {
        Adapted model = small_model(
            recipe, wiring, {recompute ? "model.backbone.recompute=true" : "model.backbone.recompute=false"});
        model.initialise("float64");
        model.randomise();
        const Backbone::Input input = input_of(DType::f64, true, recipe == 1 ? &mask : nullptr);
        const std::vector<double> weights =
            to_doubles(random_tensor({2, recipe == 0 ? 8 : 4, 8, 8}, DType::f64, 9));
        const auto loss = [&] {
          const ops::NoGradScope no_grad;
          const std::vector<double> y = to_doubles(model.backbone->forward(input).value());
          double total = 0;
          for (std::size_t i = 0; i < y.size(); ++i) total += weights[i] * y[i];
          return total;
        };
        const ops::Variable output = model.backbone->forward(input);
        ops::backward(output, Tensor::from_host(weights, output.shape()));
        for (const nn::ParameterSlot& slot : model.store->trainable_slots()) {
          const Tensor value = model.value(slot.name);
          ASSERT_TRUE(slot.parameter->master().gradient().defined()) << slot.name;
          const std::vector<double> gradient = to_doubles(slot.parameter->master().gradient());
          for (const std::int64_t i : {std::int64_t{0}, slot.count / 2 + 1, slot.count - 1}) {
            double& element = value.data<double>()[std::min(i, slot.count - 1)];
            const double original = element;
            const double step = 1e-5;
            element = original + step;
            const double above = loss();
            element = original - step;
            const double below = loss();
            element = original;
            EXPECT_NEAR(gradient[static_cast<std::size_t>(std::min(i, slot.count - 1))],
                        (above - below) / (2 * step), 1e-6)
                << slot.name << " element " << i;
          }
        }
      }
    }
  }
}

TEST(ControlNet, RefusesMoreCopiesThanTheWiringHasRoomFor) {
  EXPECT_EQ(failure({"model.adapter={name=\"controlnet\",blocks=28}"}), "no error");
  EXPECT_THAT(failure({"model.adapter={name=\"controlnet\",blocks=29}"}), HasSubstr("at most 28"));
  EXPECT_THAT(failure({"model.adapter={name=\"controlnet\",wiring=\"chain\",blocks=28}"}),
              HasSubstr("at most 27"));
  EXPECT_THAT(failure({"model.adapter={name=\"controlnet\",wiring=\"chian\"}"}), HasSubstr("chain"));
  EXPECT_THAT(failure({"model.adapter={name=\"controlnet\",wiring=\"chain\",blocks=28}"}),
              HasSubstr("model.adapter.blocks"));
}

TEST(ControlNet, RefusesAMapOfAnotherShape) {
  Adapted model = small_model(0, per_block);
  begin(model, "float32");
  Backbone::Input input = input_of(DType::f32, true);
  input.condition.control = random_tensor({2, 4, 8, 4}, DType::f32, 4);
  EXPECT_THROW((void)model.backbone->forward(input), Error);
}

}  // namespace
}  // namespace tessera
