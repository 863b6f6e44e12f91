// The tables of "dit-reparameterise" against the formulas of PixArt-alpha, section 2.3, written out.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.hpp"
#include "ops/sinusoid.hpp"
#include "plugin/assembly.hpp"
#include "plugin/slots/hand_over.hpp"

namespace tessera {
namespace {

using testing::HasSubstr;
using Values = std::map<std::string, std::vector<double>>;

constexpr std::int64_t width = 6, frequencies = 8, depth = 3;

ModelOutline model(bool single) {
  ModelOutline outline;
  auto& parameters = outline.parameters;
  const auto linear = [&](const std::string& name, std::int64_t out, std::int64_t in) {
    parameters.emplace(name + ".weight", Shape{out, in});
    parameters.emplace(name + ".bias", Shape{out});
  };
  linear("x_embedder.proj", width, 4);
  linear("t_embedder.mlp.0", width, frequencies);
  linear("t_embedder.mlp.2", width, width);
  for (std::int64_t i = 0; i < depth; ++i) {
    const std::string block = "blocks." + std::to_string(i);
    linear(block + ".attn.qkv", 3 * width, width);
    linear(block + ".mlp.fc1", 4 * width, width);
    if (single) {
      parameters.emplace(block + ".scale_shift_table", Shape{6, width});
      linear(block + ".cross_attn.q_linear", width, width);
      linear(block + ".cross_attn.proj", width, width);
    } else {
      linear(block + ".adaLN_modulation.1", 6 * width, width);
    }
  }
  linear("final_layer.linear", 8, width);
  if (single) {
    linear("t_block.1", 6 * width, width);
    parameters.emplace("final_layer.scale_shift_table", Shape{2, width});
    linear("y_embedder.y_proj.fc1", width, 5);
  } else {
    linear("final_layer.adaLN_modulation.1", 2 * width, width);
    parameters.emplace("y_embedder.embedding_table.weight", Shape{11, width});
  }
  outline.tables = ConfigTree::parse(std::string("[backbone]\nname = \"dit\"\nhead_dim = 2\n") +
                                         (single ? "[modulation]\nname = \"adaln-single\"\n"
                                                 : "[modulation]\nname = \"adaln\"\nactivation = \"silu\"\n"),
                                     "model");
  return outline;
}

Values values_of(const ModelOutline& outline) {
  const RandomStream stream(RandomKey{.seed = 3, .purpose = Purpose::test});
  Values all;
  std::uint64_t number = 0;
  for (const auto& [name, shape] : outline.parameters) {
    std::vector<float> normals(static_cast<std::size_t>(shape.numel()));
    fill_normal(stream, number++, 0, normals.data(), normals.size());
    all.emplace(name, std::vector<double>(normals.begin(), normals.end()));
  }
  return all;
}

std::vector<TensorRule> rules(const ModelOutline& from, const ModelOutline& to, double timestep = 500) {
  const Registry registry = Registry::with_installed_plugins();
  ConfigTree table = ConfigTree::parse("[hand_over]\nname = \"dit-reparameterise\"\n", "run.toml");
  table.set("hand_over.timestep", FieldValue(timestep));
  Assembly assembly(registry, table);
  return assembly.make<HandOver>("hand_over", {})->rules(from, to);
}

std::vector<double> silu(std::vector<double> x) {
  for (double& value : x) value = value / (1 + std::exp(-value));
  return x;
}

std::vector<double> linear(const Values& values, const std::string& name, const std::vector<double>& x) {
  std::vector<double> y;
  for (std::size_t row = 0; row < values.at(name + ".bias").size(); ++row) {
    double sum = values.at(name + ".bias")[row];
    for (std::size_t i = 0; i < x.size(); ++i) sum += values.at(name + ".weight")[row * x.size() + i] * x[i];
    y.push_back(sum);
  }
  return y;
}

std::vector<double> embedding(const Values& values, double timestep) {
  const Tensor level = Tensor::from_host(std::vector<double>{timestep}, {1});
  const std::vector<double> features = ops::sinusoid(level, frequencies, DType::f64).to_host<double>();
  return linear(values, "t_embedder.mlp.2", silu(linear(values, "t_embedder.mlp.0", features)));
}

Values handed_over(const std::vector<TensorRule>& rules, const Values& from) {
  Values to;
  for (const TensorRule& rule : rules) {
    std::vector<std::vector<double>> sources;
    for (const std::string& source : rule.sources) sources.push_back(from.at(source));
    to.emplace(rule.target, rule.derive ? rule.derive(sources) : sources.at(0));
  }
  return to;
}

void expect_near(const std::vector<double>& a, const std::vector<double>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-12 * (1 + std::abs(b[i]))) << what;
}

TEST(DitReparameterise, FollowsTheFormulas) {
  const ModelOutline from = model(false), to = model(true);
  const Values before = values_of(from);
  for (const double timestep : {500.0, 37.0}) {
    const Values after = handed_over(rules(from, to, timestep), before);
    const std::vector<double> t = embedding(before, timestep);
    const std::vector<double> first = linear(before, "blocks.0.adaLN_modulation.1", silu(t));
    for (std::int64_t i = 0; i < depth; ++i) {
      const std::string block = "blocks." + std::to_string(i);
      std::vector<double> table = linear(before, block + ".adaLN_modulation.1", silu(t));
      for (std::size_t e = 0; e < table.size(); ++e) table[e] -= first[e];
      expect_near(after.at(block + ".scale_shift_table"), table, block);
      for (const char* kind : {".weight", ".bias"}) {
        for (const double value : after.at(block + ".cross_attn.proj" + kind)) EXPECT_EQ(value, 0.0);
      }
    }
    for (const double value : after.at("blocks.0.scale_shift_table")) EXPECT_EQ(value, 0.0);
    std::vector<double> final_table = linear(before, "final_layer.adaLN_modulation.1", silu(t));
    for (std::size_t e = 0; e < final_table.size(); ++e) final_table[e] -= t[e % width];
    expect_near(after.at("final_layer.scale_shift_table"), final_table, "final table");
    for (const char* kind : {".weight", ".bias"}) {
      EXPECT_EQ(after.at(std::string("t_block.1") + kind),
                before.at(std::string("blocks.0.adaLN_modulation.1") + kind));
    }
  }
}

TEST(DitReparameterise, CopiesWhatBothHave) {
  const ModelOutline from = model(false), to = model(true);
  const Values before = values_of(from);
  const Values after = handed_over(rules(from, to), before);
  for (const auto& [name, values] : before) {
    if (to.find(name) == nullptr) continue;
    EXPECT_EQ(after.at(name), values) << name;
  }
  for (const char* fresh : {"y_embedder.y_proj.fc1.weight", "blocks.1.cross_attn.q_linear.weight"}) {
    EXPECT_FALSE(after.contains(fresh));
  }
  EXPECT_EQ(after.size(), to.parameters.size() - 2 - 2 * depth);
}

TEST(DitReparameterise, RefusesOtherModels) {
  const auto failure = [](const auto& change) -> std::string {
    ModelOutline from = model(false), to = model(true);
    change(from, to);
    try {
      (void)rules(from, to);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  using Outline = ModelOutline&;
  EXPECT_EQ(failure([](Outline, Outline) {}), "no error");
  EXPECT_THAT(failure([](Outline from, Outline) { from = model(true); }), HasSubstr("'adaln-single'"));
  EXPECT_THAT(failure([](Outline from, Outline) {
                from.tables.set("modulation.activation", FieldValue(std::string("gelu")));
              }),
              HasSubstr("SiLU"));
  EXPECT_THAT(
      failure([](Outline, Outline to) { to.tables.set("backbone.head_dim", FieldValue(std::int64_t{3})); }),
      HasSubstr("head_dim"));
  EXPECT_THAT(failure([](Outline, Outline to) { to.parameters.erase("blocks.2.scale_shift_table"); }),
              HasSubstr("3 blocks"));
  EXPECT_THAT(failure([](Outline, Outline to) {
                to.parameters["blocks.1.mlp.fc1.weight"] = {5, width};
              }),
              HasSubstr("blocks.1.mlp.fc1.weight"));
  EXPECT_THAT(failure([](Outline from, Outline) { from.parameters.erase("x_embedder.proj.bias"); }),
              HasSubstr("missing"));
}

}  // namespace
}  // namespace tessera
