// Hand-overs "full" and "weights": what later stages of a run take from earlier ones (MicroDiT,
// PixArt-alpha).

#include "plugin/slots/hand_over.hpp"

#include "base/error.hpp"
#include "plugin/abi.hpp"

namespace tessera {
namespace {

/// Weights, moments, their step count and the running average: the run goes on as if there were one stage.
class Full : public HandOver {
 public:
  std::vector<TensorRule> rules(const ModelOutline& from, const ModelOutline& to) const override {
    const std::string remedy = "Use hand_over = \"weights\", which takes what the two have in common.";
    for (const auto& [name, shape] : to.parameters) {
      const Shape* before = from.find(name);
      if (before == nullptr) {
        throw Error("the new model has a tensor '" + name + "', the old one has none of that name", {},
                    remedy);
      }
      if (!(*before == shape)) {
        throw Error("the tensor '" + name + "' is " + shape.to_string() + " in the new model and " +
                        before->to_string() + " in the old one",
                    {}, remedy);
      }
    }
    for (const auto& [name, shape] : from.parameters) {
      if (to.find(name) == nullptr) {
        throw Error("the old model has a tensor '" + name + "', the new one has none of that name", {},
                    remedy);
      }
      if (from.frozen.contains(name) != to.frozen.contains(name)) {
        throw Error("the tensor '" + name + "' is trained in one of the models only", {}, remedy);
      }
    }
    return copies_of_equals(from, to);
  }
  bool continues_training() const override { return true; }
};

/// Weights alone, with a fresh optimizer.
class Weights : public HandOver {
 public:
  std::vector<TensorRule> rules(const ModelOutline& from, const ModelOutline& to) const override {
    std::vector<TensorRule> rules = copies_of_equals(from, to);
    if (rules.empty()) {
      throw Error("the old and the new model have no tensor of the same name and shape", {},
                  "Give both models the same width, or name a hand-over that maps the one to the other.");
    }
    return rules;
  }
};

template <class Kind>
Component hand_over(const char* name, const char* description) {
  return component<HandOver>(Schema(name, description), [](const Config&, const HandOver::Spec&, Assembly&) {
    return std::make_unique<Kind>();
  });
}

void list(std::vector<Component>& out) {
  out.push_back(hand_over<Full>("full", "Everything goes on: weights, moments, step count, running average"));
  out.push_back(hand_over<Weights>(
      "weights",
      "Weights of the same name and shape; the rest keeps its initial value, the optimizer is new"));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("hand_over", "1.0", tessera::list)
