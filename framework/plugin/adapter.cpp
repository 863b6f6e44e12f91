#include "plugin/slots/adapter.hpp"

#include "base/error.hpp"

namespace tessera {

void Adapter::merge(bool) {
  throw Error("this adapter cannot be merged into the model that it adapts", {},
              "keep it beside the model: `tessera sample --adapter FILE`");
}

}  // namespace tessera
