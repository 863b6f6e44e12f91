#pragma once
// Slot "hand-over": which tensors of a model come from the model that was trained before it. A component only
// says so, from names and shapes; the run checks that before its first step and moves the values itself.

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/config_tree.hpp"
#include "tensor/shape.hpp"

namespace tessera {

/// What is known of a model before it has values.
struct ModelOutline {
  std::map<std::string, Shape> parameters;  ///< by full name
  std::set<std::string> frozen;             ///< those that are not trained
  ConfigTree tables;                        ///< its resolved [model.*] tables
  /// Those that begin as copies of others where the old model does not have them, and of which.
  std::map<std::string, std::string> copies{};

  /// Null when there is no such parameter.
  [[nodiscard]] const Shape* find(const std::string& parameter) const;
};

/// Where one tensor of the new model comes from.
struct TensorRule {
  std::string target;                ///< parameter of the new model
  std::vector<std::string> sources;  ///< parameters of the old one
  /// The values of the target from those of the sources, row-major; empty for a copy of the only source.
  std::function<std::vector<double>(const std::vector<std::vector<double>>& sources)> derive;
};

class HandOver {
 public:
  static constexpr const char* slot_name = "hand-over";
  struct Spec {};
  virtual ~HandOver() = default;

  /// At most one rule a target; a target without a rule keeps its initial value.
  /// @throws Error when the old model does not suit the new one.
  [[nodiscard]] virtual std::vector<TensorRule> rules(const ModelOutline& from,
                                                      const ModelOutline& to) const = 0;
  /// Whether moments, their step count and the running average go on too; the two models must then have the
  /// same parameters, the same of them frozen, and rules() names them all as copies.
  [[nodiscard]] virtual bool continues_training() const { return false; }
};

/// Copies of all parameters that have the same name and shape in both models.
[[nodiscard]] std::vector<TensorRule> copies_of_equals(const ModelOutline& from, const ModelOutline& to);

}  // namespace tessera
