#pragma once
// Invariant: a case runs the code that training and sampling use, on recorded inputs and random numbers.

#include "comparison.hpp"
#include "fixture.hpp"
#include "reference_model.hpp"

namespace tessera::parity {

/// Runs one case; compares when `comparison` is not null. Throws Error when the file lacks something.
using CaseBody = void (*)(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);

void run_microdit_forward(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);
void run_pixart_forward(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);
void run_edm_loss(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);
void run_sampler(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);
void run_pixart_iddpm_loss(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);
void run_pixart_solver(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);
void run_training(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);

/// One kind of file, named by its config_json.
struct CaseKind {
  std::string name;
  CaseBody body;
  Tolerances f64, f32, bf16;
};
/// @throws Error with all names when there is no such kind.
[[nodiscard]] const CaseKind& case_kind(const std::string& name, const std::string& file);

/// The network at `input`, whose latent and captions are leaves, compared with data set `output`, and the
/// gradients of mean(output * /random/loss_weight).
void check_forward(const Fixture& fixture, ReferenceModel& model, const Backbone::Input& input,
                   const std::string& output, Comparison* comparison);

/// The mask of micro-batch `step` of the case's recorded draws, made from the uniform numbers by the masking
/// plugin and checked against the recorded indices; empty when the case has no mask.
struct RecordedMask {
  TokenMask mask;
  bool present = false;
  [[nodiscard]] const TokenMask* get() const { return present ? &mask : nullptr; }
};
[[nodiscard]] RecordedMask recorded_mask(const Fixture& fixture, const ReferenceModel& model,
                                         std::int64_t step, Comparison* comparison);

/// Real tokens per caption from inputs/mask; the reference's masks begin with them.
[[nodiscard]] std::vector<std::int64_t> pixart_lengths(const Fixture& fixture);
/// Sizes and aspect ratios of the pictures; empty where the file has none.
[[nodiscard]] PictureFacts pixart_facts(const Fixture& fixture);
/// PixArt's objective, which its config_json does not name. @param guided_channels  0 for all
[[nodiscard]] std::unique_ptr<Objective> pixart_objective(const ReferenceModel& model,
                                                          std::int64_t guided_channels);

/// Compares the gradient of every trainable parameter with /grads.
void check_gradients(const Fixture& fixture, const ReferenceModel& model, Comparison& comparison);

}  // namespace tessera::parity
