#pragma once
// Objective "iddpm" on a network that is a formula.

#include <functional>
#include <memory>
#include <string>

#include "plugin/assembly.hpp"
#include "plugin/slots/objective.hpp"

namespace tessera::test {

inline const Shape latents{3, 2, 4, 6};
inline const Shape outputs{3, 4, 4, 6};

class FormulaNetwork : public Backbone {
 public:
  using Formula = std::function<ops::Variable(const Input&)>;
  FormulaNetwork(std::int64_t channels, Formula formula)
      : channels_(channels), formula_(std::move(formula)) {}
  ops::Variable forward(const Input& input) const override { return formula_(input); }
  std::int64_t patch_size() const override { return 2; }
  std::int64_t output_channels() const override { return channels_; }
  const CaptionConditioner* captions() const override { return nullptr; }
  const AuxiliaryConditioner* auxiliary() const override { return nullptr; }
  void set_positions(const PositionGrid&) override {}

 private:
  std::int64_t channels_;
  Formula formula_;
};

inline std::unique_ptr<Objective> objective(const std::string& settings = {}) {
  static const Registry registry = Registry::with_installed_plugins();
  Assembly assembly(registry,
                    ConfigTree::parse("[objective]\nname = \"iddpm\"\n" + settings, "objective.toml"));
  return assembly.make<Objective>("objective", {});
}

inline DenoiserRequest request() {
  DenoiserRequest what;
  what.shape = latents;
  return what;
}

}  // namespace tessera::test
