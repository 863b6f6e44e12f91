#pragma once
// Slot "adapter": a small addition to a trained model, which itself stays as it is. The values of what it
// adds can be kept in a file of their own (checkpoint/checkpoint.hpp, AdapterBase).

#include <map>
#include <string>

#include "plugin/slots/backbone.hpp"

namespace tessera {

class Adapter {
 public:
  static constexpr const char* slot_name = "adapter";
  struct Spec {};
  virtual ~Adapter() = default;

  /// Freezes every parameter of a model that is built and has no memory yet, and adds those that are trained.
  /// Once; this then lives as long as the model is used. @throws Error when a setting does not suit the
  /// model.
  virtual void attach(Backbone& backbone) = 0;
  /// Added parameters that begin with the values of the model's own, and whose: target -> source.
  [[nodiscard]] virtual std::map<std::string, std::string> copies() const { return {}; }
  /// Whether the adapted model reads Condition::control. Without one it is the model itself.
  [[nodiscard]] virtual bool reads_control() const { return false; }
  /// Whether the trained model is one of the old parameters alone, which merge() leaves in them.
  [[nodiscard]] virtual bool can_merge() const { return false; }
  /// Changes the old parameters so that the model does without the added ones. Whoever asked renews the
  /// store's copy in the compute type.
  /// @param write  false on ranks that share the parameters' memory with one that writes
  /// @throws Error when it cannot.
  virtual void merge(bool write);
};

}  // namespace tessera
