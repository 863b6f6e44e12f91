#pragma once
// Invariant: a case runs the code that training and sampling use, on recorded inputs and random numbers.

#include "comparison.hpp"
#include "fixture.hpp"
#include "reference_model.hpp"

namespace tessera::parity {

/// Runs one case; compares when `comparison` is not null. Throws Error when the file lacks something.
using CaseBody = void (*)(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);

void run_forward(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);
void run_edm_loss(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);
void run_sampler(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);
void run_training(const Fixture& fixture, ReferenceModel& model, Comparison* comparison);

/// The mask of micro-batch `step` of the case's recorded draws, made from the uniform numbers by the masking
/// plugin and checked against the recorded indices; empty when the case has no mask.
struct RecordedMask {
  TokenMask mask;
  bool present = false;
  [[nodiscard]] const TokenMask* get() const { return present ? &mask : nullptr; }
};
[[nodiscard]] RecordedMask recorded_mask(const Fixture& fixture, const ReferenceModel& model,
                                         std::int64_t step, Comparison* comparison);

/// Compares every parameter's gradient with /grads.
void check_gradients(const Fixture& fixture, const ReferenceModel& model, Comparison& comparison);

}  // namespace tessera::parity
