// What a hand-over may say is checked against the shapes of both models before anything is trained.

#include "train/hand_over.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::train {
namespace {

using testing::HasSubstr;

ModelOutline outline(std::map<std::string, Shape> parameters) { return {std::move(parameters), {}, {}}; }

const ModelOutline& old_model() {
  static const ModelOutline model = outline({{"blocks.0.w", {2, 3}}, {"blocks.1.w", {2, 3}}, {"head", {4}}});
  return model;
}

/// Gives the rules it was made with.
class Fixed : public HandOver {
 public:
  Fixed(std::vector<TensorRule> rules, bool continues) : rules_(std::move(rules)), continues_(continues) {}
  std::vector<TensorRule> rules(const ModelOutline&, const ModelOutline&) const override { return rules_; }
  bool continues_training() const override { return continues_; }

 private:
  std::vector<TensorRule> rules_;
  bool continues_;
};

PlannedHandOver plan(const std::string& name, const ModelOutline& to, const Registry& registry) {
  const ConfigTree table = ConfigTree::parse("[hand_over]\nname = \"" + name + "\"\n", "run.toml");
  return {registry, table, old_model(), to, "stage 'next'"};
}

PlannedHandOver plan(const std::string& name, const ModelOutline& to) {
  return plan(name, to, Registry::with_installed_plugins());
}

PlannedHandOver plan_rules(const std::vector<TensorRule>& rules, const ModelOutline& to,
                           bool continues = false) {
  Registry registry;
  registry.add(
      component<HandOver>(Schema("fixed", "Test"), [&](const Config&, const HandOver::Spec&, Assembly&) {
        return std::make_unique<Fixed>(rules, continues);
      }));
  return plan("fixed", to, registry);
}

template <class Work>
std::string failure(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(HandOver, WeightsTakeWhatFits) {
  const PlannedHandOver taken =
      plan("weights",
           outline({{"blocks.0.w", {2, 3}}, {"blocks.1.w", {2, 4}}, {"new.0.b", {1}}, {"new.1.b", {1}}}));
  EXPECT_FALSE(taken.continues_training());
  EXPECT_EQ(
      taken.summary(),
      "weights: 1 tensors copied, 0 derived; initial values: 3 (blocks.*.w, new.*.b (2)); left behind: 2 "
      "(blocks.*.w, head)");
  EXPECT_THAT(failure([] {
                plan("weights", outline({{"other", {2}}}));
              }),
              HasSubstr("no tensor of the same name"));
}

TEST(HandOver, FullNeedsTheSameModel) {
  EXPECT_TRUE(plan("full", old_model()).continues_training());
  const auto refused = [](std::map<std::string, Shape> parameters) {
    return failure([&] { plan("full", outline(std::move(parameters))); });
  };
  const std::string shape = refused({{"blocks.0.w", {2, 3}}, {"blocks.1.w", {3, 2}}, {"head", {4}}});
  EXPECT_THAT(shape, HasSubstr("blocks.1.w"));
  EXPECT_THAT(shape, HasSubstr("[3, 2]"));
  EXPECT_THAT(shape, HasSubstr("stage 'next'"));
  EXPECT_THAT(shape, HasSubstr("run.toml:1, key 'hand_over'"));
  EXPECT_THAT(shape, HasSubstr("hand_over = \"weights\""));
  EXPECT_THAT(refused({{"blocks.0.w", {2, 3}}, {"blocks.1.w", {2, 3}}}), HasSubstr("head"));
  EXPECT_THAT(refused({{"blocks.0.w", {2, 3}}, {"blocks.1.w", {2, 3}}, {"head", {4}}, {"tail", {1}}}),
              HasSubstr("tail"));
  EXPECT_THAT(failure([] { plan("wieghts", old_model()); }), HasSubstr("did you mean 'weights'"));
}

TEST(HandOver, RulesMustFitBothModels) {
  const auto derive = [](const auto&) { return std::vector<double>{1}; };
  const ModelOutline to = outline({{"a", {4}}, {"b", {5}}});
  const auto refused = [&](const std::vector<TensorRule>& rules, bool continues = false) {
    return failure([&] { plan_rules(rules, to, continues); });
  };
  EXPECT_EQ(refused({{"a", {"head"}, {}}, {"b", {"head", "blocks.0.w"}, derive}}), "no error");
  EXPECT_THAT(refused({{"c", {"head"}, {}}}), HasSubstr("no parameter of the new model"));
  EXPECT_THAT(refused({{"a", {"head"}, {}}, {"a", {"head"}, {}}}), HasSubstr("not the only one"));
  EXPECT_THAT(refused({{"a", {"tail"}, {}}}), HasSubstr("'tail'"));
  EXPECT_THAT(refused({{"b", {"head"}, {}}}), HasSubstr("copies [4] to [5]"));
  EXPECT_THAT(refused({{"a", {"head", "head"}, {}}}), HasSubstr("2 tensors"));
  EXPECT_THAT(refused({{"a", {"head"}, {}}}, true), HasSubstr("other parameters"));
}

}  // namespace
}  // namespace tessera::train
