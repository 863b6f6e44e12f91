#pragma once
// Invariant: building a module declares parameters (name, shape, initialiser) and takes no memory for them;
// a ParameterStore gives them memory later. A parameter's full name is the path of module names to it, and
// is its official state-dict name: paths name the role of a module, never the plugin that fills it.

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "nn/initializer.hpp"
#include "ops/graph.hpp"

namespace tessera::nn {

/// The element types of a run (DESIGN, "Precision is a policy").
struct Precision {
  DType parameter = DType::f32;   ///< parameters, gradients, optimizer state: float32 or float64
  DType compute = DType::f32;     ///< factors of matrix products
  DType activation = DType::f32;  ///< what products leave and elementwise operations pass on
  DType residual = DType::f32;    ///< the residual stream, norms' statistics and the conditioning vectors

  /// "float32", "bfloat16" or "float64". @throws Error on another name.
  static Precision named(const std::string& name);
};

struct ParameterOptions {
  double learning_rate_factor = 1;  ///< multiplies the learning rate (experts: 0.5 in the MicroDiT paper)
  bool expert = false;              ///< counted as inactive for the tokens that other experts serve
  /// Otherwise a constant: initialised, saved and loaded under its name, but without gradient, moments and
  /// running average. Operations then leave out what only its gradient would need.
  bool trainable = true;
  /// Operations read the value in the parameters' own type too (Parameter::master()), so a rank needs it
  /// whole even where the copy in the compute type is all that a rank has of the others.
  bool exact = false;
};

/// One tensor of the state dict. Between construction and ParameterStore::materialise it has no memory.
class Parameter {
 public:
  Parameter(std::string name, Shape shape, Initializer initializer, ParameterOptions options)
      : name_(std::move(name)), shape_(shape), initializer_(initializer), options_(options) {}

  [[nodiscard]] const std::string& name() const { return name_; }  ///< relative to its module
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] const Initializer& initializer() const { return initializer_; }
  [[nodiscard]] const ParameterOptions& options() const { return options_; }
  void set_learning_rate_factor(double factor) { options_.learning_rate_factor = factor; }
  /// Replaces the initialiser; only before memory is given.
  void set_initializer(Initializer initializer) { initializer_ = initializer; }
  /// Adapters freeze a module that is built already.
  /// @throws Error when the parameter has memory: the arenas are laid out by this.
  void set_trainable(bool trainable);

  /// The weight in the compute type, and in the parameter type; both feed one gradient, and are constants
  /// when the parameter is not trainable.
  [[nodiscard]] const ops::Variable& value() const { return compute_; }
  /// @throws Error where ranks share out the values, unless ParameterOptions::exact said that it is read.
  [[nodiscard]] const ops::Variable& master() const;
  /// Where its gradient arrives; null when it is not trainable.
  [[nodiscard]] const ops::NodePtr& node() const { return master_.node(); }
  [[nodiscard]] bool has_memory() const { return master_.defined(); }

 private:
  friend class ParameterStore;
  std::string name_;
  Shape shape_;
  Initializer initializer_;
  ParameterOptions options_;
  ops::Variable compute_;
  ops::Variable master_;
  bool whole_ = true;  // every rank has all of master_
};

/// A parameter with its full name.
struct NamedParameter {
  std::string name;
  Parameter* parameter;
};

class Module;

/// A module with its path.
struct NamedModule {
  std::string name;
  Module* module;
};

class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// All parameters below this module, in order of declaration.
  [[nodiscard]] std::vector<NamedParameter> parameters(const std::string& prefix = {});
  /// This module and all below it, each before those inside it.
  [[nodiscard]] std::vector<NamedModule> modules(const std::string& path = {});
  /// The types of the run; set for the whole tree by ParameterStore.
  [[nodiscard]] const Precision& precision() const { return precision_; }
  void set_precision(const Precision& precision);

 protected:
  /// Declares a parameter. The reference stays valid as long as the module.
  Parameter& declare(std::string name, Shape shape, Initializer initializer, ParameterOptions options = {});
  /// Makes `module`, which must live as long as this one, part of the tree. An empty name adds its
  /// parameters to this module's own level.
  void add_child(std::string name, Module& module);

 private:
  std::deque<Parameter> own_;
  std::vector<std::pair<std::string, Module*>> children_;
  Precision precision_;
};

/// Makes every parameter below `module` a constant. @throws Error as Parameter::set_trainable does.
void freeze(Module& module);

}  // namespace tessera::nn
