#pragma once
// Invariant: a table never holds the settings of one component under the name of another.

#include "base/config_tree.hpp"

namespace tessera {

/// `under` with `over` laid on top, key by key; but a table of `over` that names another component
/// ("name") than the one below takes its place as a whole.
[[nodiscard]] ConfigTree with_overrides(const ConfigTree& under, const ConfigTree& over);

}  // namespace tessera
