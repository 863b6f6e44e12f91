// The table of kinds: what replays a file, and how far it may be from the reference.

#include "cases.hpp"

namespace tessera::parity {
namespace {

// Output, gradient, floor, smallest cosine.
constexpr Tolerances microdit_f64{5e-6, 5e-6, 1e-9, -1};
constexpr Tolerances microdit_f32{2e-5, 5e-5, 1e-6, -1};
constexpr Tolerances bf16{3e-2, 0, 1e-6, 0.999};
// The last place of a float32 angle near 1000, which builds of PyTorch do not share, is 6e-5.
constexpr Tolerances pixart_f64{3e-5, 5e-5, 1e-9, -1};
constexpr Tolerances pixart_f32{5e-5, 1e-4, 1e-6, -1};

const std::vector<CaseKind>& kinds() {
  static const std::vector<CaseKind> all{
      {"microdit_forward", run_microdit_forward, microdit_f64, microdit_f32, bf16},
      {"microdit_edm_loss", run_edm_loss, microdit_f64, microdit_f32, bf16},
      {"microdit_sampler", run_sampler, microdit_f64, microdit_f32, bf16},
      {"microdit_train", run_training, microdit_f64, microdit_f32, bf16},
      {"pixart_forward", run_pixart_forward, pixart_f64, pixart_f32, bf16},
      {"pixart_iddpm_loss", run_pixart_iddpm_loss, pixart_f64, pixart_f32, bf16},
      {"pixart_solver", run_pixart_solver, pixart_f64, pixart_f32, bf16},
  };
  return all;
}

}  // namespace

const CaseKind& case_kind(const std::string& name, const std::string& file) {
  std::string names;
  for (const CaseKind& kind : kinds()) {
    if (kind.name == name) return kind;
    names += (names.empty() ? "" : ", ") + kind.name;
  }
  throw Error("the case kind '" + name + "' is unknown", file, "use a file of one of the kinds " + names);
}

}  // namespace tessera::parity
