#include "plugin/slots/auxiliary_conditioner.hpp"

#include "base/error.hpp"

namespace tessera {

std::int64_t AuxiliaryConditioner::label_of(const std::string& prompt) const {
  throw Error("the model knows no classes, so '" + prompt + "' names none", {},
              "use a model with [model.auxiliary] name = \"class-label\"");
}

}  // namespace tessera
