#pragma once
// Invariant: one update reads and writes every array of its range once: decay, moments, step, the running
// average and the copy in the compute type are one kernel, because the update is bound by memory traffic.

#include <cstdint>
#include <functional>
#include <span>

#include "comm/slice.hpp"
#include "nn/parameter_store.hpp"

namespace tessera::train {

struct AdamWSettings {
  double weight_decay =
      0.1;  ///< decoupled, scaled by the learning rate, applied to every trainable parameter
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
};

/// What changes from one update to the next.
struct UpdateScalars {
  double learning_rate = 0;
  double gradient_scale = 1;  ///< clipping: min(1, c / (norm + 1e-6))
  /// Smoothing s of average = s average + (1 - s) value; 1 leaves the average alone, 0 restarts it from the
  /// new value.
  double average_smoothing = 1;
};

/// What it keeps from one update to the next, in arenas of the store's layout.
struct AdamWState {
  Tensor first_moment, second_moment;
  Tensor average{};          ///< running average of the weights; undefined without one
  std::int64_t updates = 0;  ///< counted for the bias correction
};

/// AdamW (Loshchilov and Hutter 2019): w <- w (1 - lr wd); w <- w - lr m_hat / (sqrt(v_hat) + eps), with lr
/// times the parameter's learning-rate factor.
class AdamW {
 public:
  /// Zero moments in arenas "first_moment" and "second_moment", and with `average` a copy of the values in
  /// "average" (exponential moving average of the weights); each of the trainable prefix of the store.
  AdamW(nn::ParameterStore& store, const AdamWSettings& settings, bool average,
        const nn::ArenaMaker& maker = {});
  /// Goes on where another one of the same layout stopped.
  AdamW(nn::ParameterStore& store, const AdamWSettings& settings, AdamWState state);

  /// Updates the trainable elements of `parts`. Every rank calls it once per step, with its own parts.
  /// @param after  is told the number of each part that is done.
  void update(const UpdateScalars& scalars, std::span<const comm::Slice> parts,
              const std::function<void(std::size_t part)>& after = {});
  /// All of them.
  void update(const UpdateScalars& scalars);

  [[nodiscard]] std::int64_t updates() const { return state_.updates; }
  void set_updates(std::int64_t updates) { state_.updates = updates; }
  [[nodiscard]] const Tensor& first_moment() const { return state_.first_moment; }
  [[nodiscard]] const Tensor& second_moment() const { return state_.second_moment; }
  [[nodiscard]] const Tensor& average() const { return state_.average; }  ///< undefined without one
  [[nodiscard]] const AdamWState& state() const { return state_; }

 private:
  void update_part(const UpdateScalars& scalars, std::int64_t begin, std::int64_t end);

  nn::ParameterStore& store_;
  AdamWSettings settings_;
  AdamWState state_;
};

}  // namespace tessera::train
