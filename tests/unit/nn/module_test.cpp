// Names of parameters, in the order of declaration.
#include "nn/module.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nn/layers.hpp"
#include "nn/mlp.hpp"
#include "nn/patch.hpp"

namespace tessera::nn {
namespace {

std::vector<std::string> names(Module& module, const std::string& prefix = {}) {
  std::vector<std::string> result;
  for (const NamedParameter& parameter : module.parameters(prefix)) result.push_back(parameter.name);
  return result;
}

struct Leaf : Module {
  Leaf() : table(declare("scale_shift_table", {6, 4}, Initializer::normal(0.5))) {}
  Parameter& table;
};

struct Tree : Module {
  Tree() : linear(3, 2, true, Initializer::constant(1)), own(declare("own", {5}, Initializer::constant(2))) {
    add_child("blocks.0", leaf);
    add_child("", merged);
    add_child("head", linear);
  }
  Leaf leaf;
  LayerNorm merged{7, true, 1e-6};
  Linear linear;
  Parameter& own;
};

TEST(Module, NamesArePathsInOrderOfDeclaration) {
  Tree tree;
  EXPECT_EQ(names(tree), (std::vector<std::string>{"own", "blocks.0.scale_shift_table", "weight",
                                                   "head.weight", "head.bias"}));
  EXPECT_EQ(names(tree, "dit")[1], "dit.blocks.0.scale_shift_table");
}

TEST(Module, ModulesComeWithTheirPaths) {
  Tree tree;
  std::vector<std::string> paths;
  for (const NamedModule& named : tree.modules()) paths.push_back(named.name);
  EXPECT_EQ(paths, (std::vector<std::string>{"", "blocks.0", "", "head"}));
  EXPECT_EQ(tree.modules("dit")[1].name, "dit.blocks.0");
  EXPECT_EQ(tree.modules("dit")[2].name, "dit");
  EXPECT_EQ(tree.modules()[3].module, &tree.linear);
  const std::vector<NamedLinear> found = linears(tree);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].name, "head");
  EXPECT_EQ(found[0].linear, &tree.linear);
}

TEST(Module, PublishedNamesOfTheSharedLayers) {
  const Initializer weights = Initializer::normal(0.02);
  SwiGlu mlp(8, 4, 16, true, weights, weights, weights);
  EXPECT_EQ(names(mlp), (std::vector<std::string>{"w1.weight", "w1.bias", "w2.weight", "w2.bias", "w3.weight",
                                                  "w3.bias"}));
  CaptionMlp projection(4, 8, 1e-6);
  EXPECT_EQ(names(projection),
            (std::vector<std::string>{"fc1.weight", "fc1.bias", "norm.weight", "fc2.weight", "fc2.bias"}));
  CaptionMlp without_norm(4, 8);
  EXPECT_EQ(names(without_norm),
            (std::vector<std::string>{"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}));
  PatchEmbedding patch(4, 8, 2, false);
  EXPECT_EQ(names(patch), (std::vector<std::string>{"proj.weight", "proj.bias"}));
  LayerNorm plain(8, false, 1e-6);
  EXPECT_TRUE(names(plain).empty());
}

TEST(Module, ReferencesSurviveFurtherDeclarations) {
  struct Many : Module {
    Many() {
      Parameter& first = declare("0", {1}, Initializer::constant(0));
      for (int i = 1; i < 100; ++i) declare(std::to_string(i), {1}, Initializer::constant(0));
      same = &first == parameters().front().parameter;
    }
    bool same = false;
  };
  EXPECT_TRUE(Many().same);
}

TEST(Module, OptionsAndShapesAreDeclaredWithTheParameter) {
  Linear expert(3, 2, true, Initializer::normal(0.1), {.learning_rate_factor = 0.5, .expert = true});
  for (const NamedParameter& named : expert.parameters()) {
    EXPECT_EQ(named.parameter->options().learning_rate_factor, 0.5);
    EXPECT_TRUE(named.parameter->options().expert);
  }
  EXPECT_TRUE((expert.weight().shape() == Shape{2, 3}));
  EXPECT_FALSE(expert.weight().value().defined());
}

TEST(Module, FreezingReachesTheSubtreeOnly) {
  Tree tree;
  freeze(tree.linear);
  tree.leaf.table.set_trainable(false);
  std::vector<std::string> frozen;
  for (const NamedParameter& named : tree.parameters()) {
    if (!named.parameter->options().trainable) frozen.push_back(named.name);
  }
  EXPECT_EQ(frozen, (std::vector<std::string>{"blocks.0.scale_shift_table", "head.weight", "head.bias"}));
  tree.leaf.table.set_trainable(true);
  EXPECT_TRUE(tree.leaf.table.options().trainable);
}

TEST(Module, PrecisionReachesTheWholeTree) {
  Tree tree;
  tree.set_precision(Precision::named("bfloat16"));
  for (const Module* module :
       std::initializer_list<const Module*>{&tree, &tree.leaf, &tree.merged, &tree.linear}) {
    EXPECT_EQ(module->precision().compute, DType::bf16);
    EXPECT_EQ(module->precision().parameter, DType::f32);
  }
  EXPECT_THROW((void)Precision::named("float16"), Error);
}

}  // namespace
}  // namespace tessera::nn
