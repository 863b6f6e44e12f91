// Token operations against index formulas written out, and central differences.
#include "ops/tokens.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/elementwise.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::expect_gradients;
using test::expect_near;
using test::random_tensor;
using test::to_doubles;

constexpr std::int64_t batch = 2;
constexpr std::int64_t channels = 3;
constexpr std::int64_t height = 4;
constexpr std::int64_t width = 6;
constexpr std::int64_t patch = 2;
constexpr std::int64_t rows = height / patch;
constexpr std::int64_t columns = width / patch;

std::size_t pixel(std::int64_t b, std::int64_t c, std::int64_t y, std::int64_t x) {
  return static_cast<std::size_t>(((b * channels + c) * height + y) * width + x);
}

// Calls f(position in the patches, pixel) for every pixel; `fastest_channel` chooses the order in a token.
template <class F>
void each_pixel(bool fastest_channel, F f) {
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t y = 0; y < height; ++y) {
        for (std::int64_t x = 0; x < width; ++x) {
          const std::int64_t token = (b * rows + y / patch) * columns + x / patch;
          const std::int64_t inside = y % patch * patch + x % patch;
          const std::int64_t place = fastest_channel ? inside * channels + c : c * patch * patch + inside;
          f(static_cast<std::size_t>(token * channels * patch * patch + place), pixel(b, c, y, x));
        }
      }
    }
  }
}

TEST(Tokens, PatchifyReadsChannelRowColumn) {
  const Tensor latent = random_tensor({batch, channels, height, width}, DType::f32, 1);
  const Variable y = ops::patchify(Variable(latent), patch);
  EXPECT_TRUE((y.shape() == Shape{batch, rows * columns, channels * patch * patch}));
  std::vector<double> expected(to_doubles(latent).size());
  each_pixel(false, [&](std::size_t place, std::size_t at) { expected[place] = to_doubles(latent)[at]; });
  EXPECT_EQ(to_doubles(y.value()), expected);
}

TEST(Tokens, UnpatchifyWritesTheChannelFastest) {
  const Tensor tokens = random_tensor({batch, rows * columns, channels * patch * patch}, DType::bf16, 2);
  const Variable y = ops::unpatchify(Variable(tokens), patch, rows, columns);
  EXPECT_TRUE((y.shape() == Shape{batch, channels, height, width}));
  std::vector<double> expected(to_doubles(tokens).size());
  each_pixel(true, [&](std::size_t place, std::size_t at) { expected[at] = to_doubles(tokens)[place]; });
  EXPECT_EQ(to_doubles(y.value()), expected);
}

TEST(Tokens, PatchGradients) {
  expect_gradients([](const std::vector<Variable>& in) { return ops::patchify(in[0], patch); },
                   {random_tensor({batch, channels, height, width}, DType::f64, 3)});
  expect_gradients(
      [](const std::vector<Variable>& in) { return ops::unpatchify(in[0], patch, rows, columns); },
      {random_tensor({batch, rows * columns, channels * patch * patch}, DType::f64, 4)});
}

TEST(Tokens, PatchShapesAreChecked) {
  const Variable latent(random_tensor({2, 3, 4, 6}, DType::f32, 1));
  EXPECT_THROW((void)ops::patchify(latent, 4), Error);
  EXPECT_THROW((void)ops::patchify(latent, 0), Error);
  const Variable tokens(random_tensor({2, 6, 12}, DType::f32, 1));
  EXPECT_THROW((void)ops::unpatchify(tokens, 2, 3, 3), Error);
  EXPECT_THROW((void)ops::unpatchify(tokens, 5, 2, 3), Error);
}

TEST(Tokens, AddPositions) {
  for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
    const Tensor x = random_tensor({2, 3, 5}, type, 5);
    const Tensor positions = random_tensor({3, 5}, DType::f32, 6);
    std::vector<double> expected = to_doubles(x);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += to_doubles(positions)[i % 15];
    const Variable y = ops::add_positions(Variable(x), positions);
    EXPECT_EQ(y.dtype(), type);
    expect_near(to_doubles(y.value()), expected, type == DType::bf16 ? 1.0 / 256 : 1e-7);
  }
  expect_gradients(
      [](const std::vector<Variable>& in) {
        return ops::add_positions(in[0], random_tensor({3, 5}, DType::f32, 6));
      },
      {random_tensor({2, 3, 5}, DType::f64, 5)});
  EXPECT_THROW((void)ops::add_positions(Variable(random_tensor({2, 3, 5}, DType::f32, 5)),
                                        random_tensor({5, 3}, DType::f32, 6)),
               Error);
}

// Two images of six tokens; three are kept, in a shuffled order.
const std::vector<std::int32_t> keep = {4, 0, 3, 5, 1, 0};
const std::vector<std::int32_t> restore = {1, 3, 4, 2, 0, 5, 2, 1, 3, 5, 4, 0};

TEST(Tokens, GatherKeepsTheOrderOfTheIndices) {
  const Tensor x = random_tensor({2, 6, 7}, DType::bf16, 7);
  const Variable y = ops::gather_tokens(Variable(x), Tensor::from_host(keep, {2, 3}));
  EXPECT_TRUE((y.shape() == Shape{2, 3, 7}));
  std::vector<double> expected;
  for (std::size_t row = 0; row < 6; ++row) {
    for (std::size_t i = 0; i < 7; ++i) {
      expected.push_back(to_doubles(x)[(row / 3 * 6 + static_cast<std::size_t>(keep[row])) * 7 + i]);
    }
  }
  EXPECT_EQ(to_doubles(y.value()), expected);
}

TEST(Tokens, RestorePutsZerosWhereTokensWereRemoved) {
  const Tensor x = random_tensor({2, 3, 7}, DType::f32, 8);
  const Variable y = ops::restore_tokens(Variable(x), Tensor::from_host(restore, {2, 6}));
  std::vector<double> expected;
  for (std::size_t row = 0; row < 12; ++row) {
    const auto place = static_cast<std::size_t>(restore[row]);
    for (std::size_t i = 0; i < 7; ++i) {
      expected.push_back(place < 3 ? to_doubles(x)[(row / 6 * 3 + place) * 7 + i] : 0.0);
    }
  }
  EXPECT_EQ(to_doubles(y.value()), expected);
}

TEST(Tokens, RestoreUndoesGather) {
  const Tensor x = random_tensor({2, 6, 4}, DType::f32, 9);
  const Variable kept = ops::gather_tokens(Variable(x), Tensor::from_host(keep, {2, 3}));
  const std::vector<double> back =
      to_doubles(ops::restore_tokens(kept, Tensor::from_host(restore, {2, 6})).value());
  for (std::size_t row = 0; row < 12; ++row) {
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(back[row * 4 + i], restore[row] < 3 ? to_doubles(x)[row * 4 + i] : 0.0);
    }
  }
}

TEST(Tokens, GatherAndRestoreGradients) {
  expect_gradients(
      [](const std::vector<Variable>& in) {
        return ops::gather_tokens(in[0], Tensor::from_host(keep, {2, 3}));
      },
      {random_tensor({2, 6, 5}, DType::f64, 10)});
  expect_gradients(
      [](const std::vector<Variable>& in) {
        return ops::restore_tokens(in[0], Tensor::from_host(restore, {2, 6}));
      },
      {random_tensor({2, 3, 5}, DType::f64, 11)});
  // The gathered tensor is used elsewhere too.
  expect_gradients(
      [](const std::vector<Variable>& in) {
        const Variable kept = ops::gather_tokens(in[0], Tensor::from_host(keep, {2, 3}));
        return ops::add(ops::restore_tokens(kept, Tensor::from_host(restore, {2, 6})), ops::silu(in[0]));
      },
      {random_tensor({2, 6, 5}, DType::f64, 12)});
}

TEST(Tokens, NothingKeptAndNothingPointedAt) {
  const Variable none(Tensor::empty({2, 0, 4}, DType::f32));
  const Variable y = ops::restore_tokens(none, Tensor::from_host(restore, {2, 6}));
  for (const double value : to_doubles(y.value())) EXPECT_EQ(value, 0);
}

TEST(Tokens, IndicesOutsideGiveNaNInsteadOfForeignMemory) {
  const Variable x(random_tensor({1, 3, 4}, DType::f32, 13));
  const std::vector<std::int32_t> bad = {1, 3, -1};
  const std::vector<double> gathered =
      to_doubles(ops::gather_tokens(x, Tensor::from_host(bad, {1, 3})).value());
  const std::vector<double> restored =
      to_doubles(ops::restore_tokens(x, Tensor::from_host(bad, {1, 3})).value());
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_FALSE(std::isnan(gathered[i]));
    EXPECT_TRUE(std::isnan(gathered[4 + i]));
    EXPECT_TRUE(std::isnan(gathered[8 + i]));
    EXPECT_EQ(restored[4 + i], 0);
    EXPECT_TRUE(std::isnan(restored[8 + i]));
  }
  EXPECT_THROW((void)ops::gather_tokens(x, Tensor::from_host(std::vector<std::int64_t>{1}, {1, 1})), Error);
  EXPECT_THROW((void)ops::gather_tokens(x, Tensor::from_host(bad, {3, 1})), Error);
}

TEST(Tokens, MeanOverTokens) {
  for (const auto& [type, result, tolerance] : {std::tuple{DType::f64, DType::f64, 1e-15},
                                                {DType::f32, DType::f32, 1e-6},
                                                {DType::bf16, DType::f32, 1e-6},
                                                {DType::f32, DType::bf16, 1.0 / 256}}) {
    const Tensor x = random_tensor({2, 77, 140}, type, 14);
    const Variable y = ops::mean_tokens(Variable(x), result);
    EXPECT_EQ(y.dtype(), result);
    const std::vector<double> values = to_doubles(x);
    std::vector<double> expected(280, 0.0);
    for (std::size_t i = 0; i < values.size(); ++i)
      expected[i / (77 * 140) * 140 + i % 140] += values[i] / 77;
    expect_near(to_doubles(y.value()), expected, tolerance);
  }
  expect_gradients([](const std::vector<Variable>& in) { return ops::mean_tokens(in[0], DType::f64); },
                   {random_tensor({2, 5, 11}, DType::f64, 15)});
  EXPECT_THROW((void)ops::mean_tokens(Variable(Tensor::empty({2, 0, 3}, DType::f32)), DType::f32), Error);
}

TEST(Tokens, MetaTensorsGiveShapesOnly) {
  const MetaScope scope;
  const Variable latent = Variable::leaf(Tensor::empty({2, 4, 8, 8}, DType::f32));
  const Variable tokens = ops::patchify(latent, 2);
  const Variable kept = ops::gather_tokens(tokens, Tensor::meta({2, 5}, DType::i32));
  EXPECT_TRUE((kept.shape() == Shape{2, 5, 16}));
  const Variable all = ops::restore_tokens(kept, Tensor::meta({2, 16}, DType::i32));
  const Variable image =
      ops::unpatchify(ops::add_positions(all, Tensor::meta({16, 16}, DType::f32)), 2, 4, 4);
  EXPECT_TRUE(image.shape() == latent.shape());
  EXPECT_TRUE((ops::mean_tokens(all, DType::f32).shape() == Shape{2, 16}));
  ops::backward(image, Tensor::meta(image.shape(), DType::f32));
  EXPECT_TRUE(latent.gradient().is_meta());
}

}  // namespace
}  // namespace tessera
