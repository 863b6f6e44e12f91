// The arenas: layout, memory, copies in the compute type, and gradients that arrive in place.
#include "nn/parameter_store.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "compute/cost.hpp"
#include "nn/layers.hpp"
#include "ops/elementwise.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera::nn {
namespace {

struct Model : Module {
  Model()
      : first(5, 3, true, Initializer::normal(1)),
        norm(3, true, 1e-6),
        last(3, 7, false, Initializer::uniform(2)) {
    add_child("first", first);
    add_child("norm", norm);
    add_child("last", last);
  }
  [[nodiscard]] ops::Variable forward(const ops::Variable& x) const {
    return last.forward(norm.forward(first.forward(x)));
  }
  Linear first;
  LayerNorm norm;
  Linear last;
};

TEST(ParameterStore, LastDeclaredComesFirstAtAlignedOffsets) {
  Model model;
  const ParameterStore store(model);
  std::vector<std::string> names;
  std::int64_t expected = 0;
  for (const ParameterSlot& slot : store.slots()) {
    names.push_back(slot.name);
    EXPECT_EQ(slot.offset, expected);
    EXPECT_EQ(slot.offset % ParameterStore::alignment, 0);
    EXPECT_EQ(slot.count, slot.parameter->shape().numel());
    expected += (slot.count + 15) / 16 * 16;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"last.weight", "norm.weight", "first.bias", "first.weight"}));
  EXPECT_EQ(store.arena_elements(), 32 + 16 + 16 + 16);
  EXPECT_EQ(store.arena_elements(), expected);
  EXPECT_EQ(store.trainable_parameters(), 21 + 3 + 3 + 15);
  EXPECT_EQ(store.slot("norm.weight").count, 3);
  EXPECT_THROW((void)store.slot("norm.bias"), Error);
}

TEST(ParameterStore, ConstructionTakesNoMemoryAndMetaNeither) {
  const std::size_t before = memory_statistics().current;
  Linear huge(1 << 20, 1 << 20, true, Initializer::normal(1));
  ParameterStore store(huge);
  EXPECT_EQ(store.trainable_parameters(), (std::int64_t{1} << 40) + (1 << 20));
  const MetaScope scope;
  store.materialise(Precision::named("bfloat16"));
  store.initialize(1);
  EXPECT_TRUE(huge.weight().value().value().is_meta());
  EXPECT_EQ(memory_statistics().current, before);
}

TEST(ParameterStore, TwoParametersOfOneNameAreAnError) {
  struct Twice : Module {
    Twice() {
      add_child("", a);
      add_child("", b);
    }
    LayerNorm a{3, true, 1e-6};
    LayerNorm b{3, true, 1e-6};
  } twice;
  try {
    const ParameterStore store(twice);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("weight"), std::string::npos);
  }
}

TEST(ParameterStore, ParametersAreViewsAndGapsAreZero) {
  Model model;
  ParameterStore store(model);
  store.materialise(Precision::named("float32"));
  store.initialize(3);
  const std::vector<float> arena = store.values().to_host<float>();
  std::vector<bool> used(arena.size(), false);
  for (const ParameterSlot& slot : store.slots()) {
    const Tensor value = slot.parameter->master().value();
    EXPECT_EQ(value.raw(), store.values().data<float>() + slot.offset);
    EXPECT_TRUE(value.shape() == slot.parameter->shape());
    EXPECT_EQ(slot.parameter->value().value().raw(), value.raw());
    for (std::int64_t i = 0; i < slot.count; ++i) used[static_cast<std::size_t>(slot.offset + i)] = true;
  }
  for (std::size_t i = 0; i < arena.size(); ++i) EXPECT_TRUE(used[i] || arena[i] == 0) << i;
  EXPECT_EQ(store.view(store.gradients(), store.slot("last.weight")).raw(), store.gradients().raw());
}

// Where values are split between ranks, a rank reads the copy in the compute type, or what was declared
// exact.
TEST(ParameterStore, HoldsThePartsOfTheValuesThatItIsTold) {
  Model model, whole_model;
  ParameterStore whole(whole_model), part(model);
  whole.materialise(Precision::named("bfloat16"));
  const ParameterSlot& split = part.slot("last.weight");
  ASSERT_FALSE(split.parameter->options().exact);
  std::vector<ElementRange> held;
  for (const ParameterSlot& slot : part.slots()) {
    const bool all = slot.parameter->options().exact;
    if (all || &slot == &split)
      held.push_back({slot.offset, slot.offset + (all ? slot.count : slot.count / 2)});
  }
  ASSERT_GT(held.size(), 1U);
  part.hold_values(held);
  // Memory that says where it was written.
  constexpr float untouched = -77;
  part.materialise(Precision::named("bfloat16"), [&](const std::string&, std::int64_t elements, DType type) {
    const Tensor arena = Tensor::zeros({elements}, type);
    if (type == DType::f32) {
      arena.copy_from_host(std::vector<float>(static_cast<std::size_t>(elements), untouched).data());
    }
    return arena;
  });
  whole.initialize(3);
  part.initialize(3);
  const auto compare = [&] {
    EXPECT_EQ(test::to_doubles(part.compute_copy()), test::to_doubles(whole.compute_copy()));
    const std::vector<float> expected = whole.values().to_host<float>(),
                             found = part.values().to_host<float>();
    std::size_t at = 0;
    for (const ElementRange& range : held) {
      for (; at < static_cast<std::size_t>(range.begin); ++at) ASSERT_EQ(found[at], untouched) << at;
      for (; at < static_cast<std::size_t>(range.end); ++at) ASSERT_EQ(found[at], expected[at]) << at;
    }
    for (; at < found.size(); ++at) ASSERT_EQ(found[at], untouched) << at;
  };
  compare();
  const std::vector<float> numbers(static_cast<std::size_t>(split.count), 1.5F);
  for (ParameterStore* store : {&whole, &part}) {
    store->write(store->slot("last.weight"),
                 [&](const Tensor& value) { value.copy_from_host(numbers.data()); });
  }
  compare();
  part.values().slice(split.offset, split.offset + 1).fill_zero();
  whole.values().slice(split.offset, split.offset + 1).fill_zero();
  for (ParameterStore* store : {&whole, &part}) store->refresh_compute_copy(0, split.offset + split.count);
  compare();

  for (const ParameterSlot& slot : part.slots()) {
    if (slot.parameter->options().exact) {
      EXPECT_EQ(test::to_doubles(slot.parameter->master().value()),
                test::to_doubles(whole.slot(slot.name).parameter->master().value()));
    } else {
      EXPECT_THROW((void)slot.parameter->master(), Error) << slot.name;
      EXPECT_NE(slot.parameter->node(), nullptr);
    }
  }
  Model other;
  ParameterStore needs_all(other);
  needs_all.hold_values(held);
  EXPECT_THROW(needs_all.materialise(Precision::named("float32")), Error);
}

TEST(ParameterStore, GradientsArriveInTheArena) {
  for (const char* precision : {"float32", "bfloat16", "float64"}) {
    SCOPED_TRACE(precision);
    Model model;
    ParameterStore store(model);
    store.materialise(Precision::named(precision));
    store.initialize(4);
    EXPECT_EQ(store.gradients().dtype(), store.precision().parameter);
    store.clear_gradients();
    const ops::Variable x(test::random_tensor({6, 5}, store.precision().parameter, 5));
    const ops::Variable y = model.forward(x);
    const auto seed = [&] { return test::random_tensor(y.shape(), y.dtype(), 6); };
    ops::backward(y, seed());
    for (const ParameterSlot& slot : store.slots()) {
      EXPECT_TRUE(slot.parameter->master().node()->has_gradient()) << slot.name;
      EXPECT_EQ(slot.parameter->master().gradient().raw(), store.view(store.gradients(), slot).raw())
          << slot.name;
    }
    const std::vector<double> once =
        test::to_doubles(store.view(store.gradients(), store.slot("first.weight")));
    EXPECT_NE(once, std::vector<double>(once.size(), 0.0));
    ops::backward(model.forward(x), seed());
    std::vector<double> twice = once;
    for (double& value : twice) value *= 2;
    test::expect_near(test::to_doubles(store.view(store.gradients(), store.slot("first.weight"))), twice,
                      1e-6);
    store.clear_gradients();
    ops::backward(model.forward(x), seed());
    EXPECT_EQ(test::to_doubles(store.view(store.gradients(), store.slot("first.weight"))), once);
  }
}

TEST(ParameterStore, MissingGradientsBecomeZero) {
  Model model;
  ParameterStore store(model);
  store.materialise(Precision::named("float32"));
  store.initialize(7);
  store.gradients().copy_from(test::random_tensor({store.arena_elements()}, DType::f32, 8));
  store.clear_gradients();
  const ops::Variable y = model.first.forward(ops::Variable(test::random_tensor({2, 5}, DType::f32, 9)));
  ops::backward(y, test::random_tensor(y.shape(), DType::f32, 10));
  store.zero_missing_gradients();
  for (const double value : test::to_doubles(store.view(store.gradients(), store.slot("last.weight")))) {
    EXPECT_EQ(value, 0);
  }
  double sum = 0;
  for (const double value : test::to_doubles(store.view(store.gradients(), store.slot("first.weight")))) {
    sum += value * value;
  }
  EXPECT_GT(sum, 0);
}

TEST(ParameterStore, TheComputeCopyFollowsTheValues) {
  Model model;
  ParameterStore store(model);
  store.materialise(Precision::named("bfloat16"));
  store.initialize(11);
  const Parameter& weight = *store.slot("last.weight").parameter;
  EXPECT_EQ(weight.value().dtype(), DType::bf16);
  EXPECT_EQ(weight.master().dtype(), DType::f32);
  EXPECT_EQ(weight.value().node(), weight.master().node());
  const auto rounded = [](const Tensor& tensor) {
    std::vector<double> values;
    for (const float value : tensor.to_host<float>()) {
      values.push_back(static_cast<double>(static_cast<float>(bfloat16(value))));
    }
    return values;
  };
  EXPECT_EQ(test::to_doubles(weight.value().value()), rounded(weight.master().value()));

  const std::vector<double> before = test::to_doubles(weight.value().value());
  for (std::int64_t i = 0; i < store.arena_elements(); ++i) store.values().data<float>()[i] += 1;
  store.refresh_compute_copy(0, 16);
  const std::vector<double> part = test::to_doubles(weight.value().value());
  const std::vector<double> all = rounded(weight.master().value());
  for (std::size_t i = 0; i < part.size(); ++i) EXPECT_EQ(part[i], i < 16 ? all[i] : before[i]) << i;
  store.refresh_compute_copy();
  EXPECT_EQ(test::to_doubles(weight.value().value()), all);
}

TEST(ParameterStore, ArenasComeFromTheMaker) {
  Model model;
  ParameterStore store(model);
  std::map<std::string, DType> roles;
  store.materialise(Precision::named("bfloat16"),
                    [&](const std::string& role, std::int64_t elements, DType type) {
                      roles[role] = type;
                      EXPECT_EQ(elements, store.arena_elements());
                      return Tensor::empty({elements}, type);
                    });
  EXPECT_EQ(roles, (std::map<std::string, DType>{
                       {"values", DType::f32}, {"gradients", DType::f32}, {"compute", DType::bf16}}));
}

TEST(ParameterStore, GradientsHandedOverAreThoseOfTheArena) {
  const auto run = [](GradientFlow flow) {
    Model model;
    ParameterStore store(model);
    store.materialise(Precision::named("bfloat16"), {}, flow);
    store.initialize(4);
    store.gradients().fill_zero();
    const ops::Variable y = model.forward(ops::Variable(test::random_tensor({6, 5}, DType::f32, 5)));
    ops::backward(y, test::random_tensor(y.shape(), y.dtype(), 6));
    std::map<std::string, std::vector<double>> gradients;
    for (const ParameterSlot& slot : store.slots()) {
      ops::Node& node = *slot.parameter->master().node();
      const Tensor own = store.view(store.gradients(), slot);
      if (flow == GradientFlow::into_arena) {
        gradients[slot.name] = test::to_doubles(own);
        continue;
      }
      EXPECT_EQ(test::to_doubles(own), std::vector<double>(static_cast<std::size_t>(slot.count), 0.0));
      const Tensor taken = node.take_gradient();
      EXPECT_EQ(taken.dtype(), DType::f32);
      EXPECT_TRUE(taken.shape() == slot.parameter->shape());
      gradients[slot.name] = test::to_doubles(taken);
      EXPECT_FALSE(node.take_gradient().defined());
    }
    return gradients;
  };
  EXPECT_EQ(run(GradientFlow::handed_over), run(GradientFlow::into_arena));
}

TEST(ParameterStore, ForSamplingAllParametersAreConstants) {
  Model model;
  ParameterStore store(model);
  store.materialise(
      Precision::named("bfloat16"),
      [](const std::string& role, std::int64_t elements, DType type) {
        EXPECT_NE(role, "gradients");
        return Tensor::empty({elements}, type);
      },
      GradientFlow::none);
  store.initialize(4);
  store.clear_gradients();
  store.clear_uses();
  EXPECT_FALSE(store.gradients().defined());
  EXPECT_EQ(store.trainable_parameters(), 21 + 3 + 3 + 15);
  EXPECT_FALSE(model.forward(ops::Variable(test::random_tensor({6, 5}, DType::f32, 5))).requires_grad());
}

TEST(ParameterStore, FirstUsesFollowTheForwardPass) {
  Model model;
  ParameterStore store(model);
  store.materialise(Precision::named("float32"));
  store.initialize(12);
  const auto use = [&](const char* name) { return store.slot(name).parameter->master().node()->first_use(); };
  store.clear_uses();
  EXPECT_EQ(use("first.weight"), ops::Node::never);
  const ops::Variable x(test::random_tensor({2, 5}, DType::f32, 13));
  (void)model.forward(x);
  const std::uint64_t first = use("first.weight");
  EXPECT_LT(first, use("norm.weight"));
  EXPECT_LT(use("norm.weight"), use("last.weight"));
  (void)model.forward(x);
  EXPECT_EQ(use("first.weight"), first);
}

TEST(ParameterStore, FrozenParametersComeBehindAndHaveAValueOnly) {
  for (const char* precision : {"float32", "bfloat16"}) {
    SCOPED_TRACE(precision);
    Model model;
    freeze(model.first);
    ParameterStore store(model);
    std::vector<std::string> names;
    for (const ParameterSlot& slot : store.slots()) {
      names.push_back(slot.name);
      EXPECT_EQ(slot.trainable, names.size() <= 2) << slot.name;
    }
    EXPECT_EQ(names, (std::vector<std::string>{"last.weight", "norm.weight", "first.bias", "first.weight"}));
    EXPECT_EQ(store.trainable_slots().size(), 2U);
    EXPECT_EQ(store.trainable_elements(), 32 + 16);
    EXPECT_EQ(store.arena_elements(), 32 + 16 + 16 + 16);
    EXPECT_EQ(store.trainable_parameters(), 21 + 3);
    EXPECT_EQ(store.frozen_parameters(), 3 + 15);

    store.materialise(Precision::named(precision));
    store.initialize(3);
    EXPECT_EQ(store.gradients().numel(), 48);
    const Parameter& frozen = *store.slot("first.weight").parameter;
    EXPECT_FALSE(frozen.master().requires_grad());
    EXPECT_FALSE(frozen.value().requires_grad());
    EXPECT_EQ(frozen.master().value().raw(),
              store.values().data<float>() + store.slot("first.weight").offset);
    EXPECT_EQ(frozen.value().dtype(), store.precision().compute);
    EXPECT_THROW((void)store.view(store.gradients(), store.slot("first.weight")), Error);
    EXPECT_THROW((void)store.slots_in(50), Error);
    store.clear_gradients();
    store.zero_missing_gradients();
    store.clear_uses();
  }
}

// The initial values too depend on the name alone, not on the place in the arena.
TEST(ParameterStore, FreezingSomeLeavesValuesAndTheOtherGradientsAsTheyAre) {
  const auto run = [](bool frozen) {
    Model model;
    if (frozen) model.norm.parameters()[0].parameter->set_trainable(false);
    ParameterStore store(model);
    store.materialise(Precision::named("float32"));
    store.initialize(4);
    store.clear_gradients();
    const ops::Variable y = model.forward(ops::Variable(test::random_tensor({6, 5}, DType::f32, 5)));
    ops::backward(y, test::random_tensor(y.shape(), y.dtype(), 6));
    std::map<std::string, std::vector<double>> results;
    for (const ParameterSlot& slot : store.slots()) {
      results["value of " + slot.name] = test::to_doubles(store.view(store.values(), slot));
      if (!slot.trainable) continue;
      EXPECT_TRUE(slot.parameter->master().node()->has_gradient()) << slot.name;
      results["gradient of " + slot.name] = test::to_doubles(store.view(store.gradients(), slot));
    }
    return results;
  };
  const auto all = run(false);
  const auto some = run(true);
  EXPECT_EQ(all.size(), 8U);
  EXPECT_EQ(some.size(), 7U);
  for (const auto& [name, values] : some) EXPECT_EQ(values, all.at(name)) << name;
}

TEST(ParameterStore, BackwardLeavesOutTheProductsOfFrozenWeights) {
  const auto flops_of_backward = [](bool frozen) {
    const MetaScope meta;
    Linear layer(40, 30, false, Initializer::normal(1));
    if (frozen) freeze(layer);
    ParameterStore store(layer);
    store.materialise(Precision::named("float32"));
    const ops::Variable x = ops::Variable::leaf(Tensor::empty({20, 40}, DType::f32));
    const ops::Variable y = layer.forward(x);
    const compute::CostScope scope;
    ops::backward(y, Tensor::empty(y.shape(), y.dtype()));
    return scope.cost().matmul_flops;
  };
  EXPECT_EQ(flops_of_backward(false), 2 * 2 * 20 * 30 * 40);
  EXPECT_EQ(flops_of_backward(true), 2 * 20 * 30 * 40);
}

TEST(ParameterStore, FreezingComesBeforeThePlacesAreSettled) {
  Model model;
  ParameterStore store(model);
  freeze(model.last);
  try {
    store.materialise(Precision::named("float32"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("last.weight"), std::string::npos);
  }
  ParameterStore anew(model);
  anew.materialise(Precision::named("float32"));
  freeze(model.last);  // says nothing new
  EXPECT_THROW(freeze(model.first), Error);
  EXPECT_THROW(model.last.weight().set_trainable(true), Error);
}

TEST(ParameterStore, AModelMayBeFrozenAltogether) {
  Model model;
  freeze(model);
  ParameterStore store(model);
  EXPECT_EQ(store.trainable_parameters(), 0);
  store.materialise(Precision::named("float32"));
  store.initialize(4);
  EXPECT_FALSE(model.forward(ops::Variable(test::random_tensor({6, 5}, DType::f32, 5))).requires_grad());
}

}  // namespace
}  // namespace tessera::nn
