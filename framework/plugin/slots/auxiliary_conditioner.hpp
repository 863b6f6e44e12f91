#pragma once
// Slot "auxiliary-conditioner": what is known of a picture besides its caption (original size, aspect ratio,
// class label) to a vector that joins the noise embedding.

#include <string>
#include <vector>

#include "nn/module.hpp"
#include "plugin/slots/condition.hpp"

namespace tessera {

class AuxiliaryConditioner : public nn::Module {
 public:
  static constexpr const char* slot_name = "auxiliary-conditioner";
  struct Spec {
    std::int64_t width = 0;  ///< of the conditioning vector
  };
  /// [batch, width] in the residual type. @throws Error when `facts` lacks what the component reads.
  [[nodiscard]] virtual ops::Variable forward(const PictureFacts& facts) const = 0;
  /// Class labels it knows, [0, classes()); 0 when it reads none.
  [[nodiscard]] virtual std::int64_t classes() const { return 0; }
  /// What the classes are called, in the order of the labels; empty when only numbers are known.
  [[nodiscard]] virtual std::vector<std::string> class_names() const { return {}; }
  /// The label that a prompt names. @throws Error when it names none.
  [[nodiscard]] virtual std::int64_t label_of(const std::string& prompt) const;
};

}  // namespace tessera
