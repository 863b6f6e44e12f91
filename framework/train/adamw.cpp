#include "train/adamw.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "compute/parallel.hpp"

namespace tessera::train {
namespace {

/// The numbers of one update of one parameter, already in its type.
template <class T>
struct Coefficients {
  T keep;  // 1 - lr * weight decay
  T beta1, beta2;
  T step;        // lr / (1 - beta1^n)
  T root_scale;  // 1 / sqrt(1 - beta2^n)
  T eps;
  T gradient_scale;
  T smoothing;
};

/// `average` may be null. Elements are independent, so the loop vectorises over a block.
template <class T>
void update_range(const Coefficients<T>& c, std::int64_t count, T* value, const T* gradient, T* first,
                  T* second, T* average) {
  constexpr std::int64_t block = 4096;
  const std::int64_t blocks = (count + block - 1) / block;
  parallel_rows(
      blocks, KOKKOS_LAMBDA(std::size_t row) {
        const auto begin = static_cast<std::int64_t>(row) * block;
        const std::int64_t end = begin + block < count ? begin + block : count;
#pragma omp simd
        for (std::int64_t i = begin; i < end; ++i) {
          const T g = c.gradient_scale * gradient[i];
          const T m = c.beta1 * first[i] + (T(1) - c.beta1) * g;
          const T v = c.beta2 * second[i] + (T(1) - c.beta2) * g * g;
          first[i] = m;
          second[i] = v;
          value[i] = c.keep * value[i] - c.step * m / (std::sqrt(v) * c.root_scale + c.eps);
        }
        if (average == nullptr || c.smoothing == T(1)) return;
#pragma omp simd
        for (std::int64_t i = begin; i < end; ++i) {
          // From 0 the average restarts, whatever it held before.
          average[i] =
              c.smoothing == T(0) ? value[i] : c.smoothing * average[i] + (T(1) - c.smoothing) * value[i];
        }
      });
}

}  // namespace

AdamW::AdamW(nn::ParameterStore& store, const AdamWSettings& settings, bool average,
             const nn::ArenaMaker& maker)
    : store_(store), settings_(settings) {
  const auto make = [&](const char* role) {
    const std::int64_t elements = store.trainable_elements();
    const DType type = store.precision().parameter;
    return maker ? maker(role, elements, type) : Tensor::zeros({elements}, type);
  };
  state_.first_moment = make("first_moment");
  state_.second_moment = make("second_moment");
  if (average) {
    state_.average = make("average");
    state_.average.copy_from(store.values().slice(0, store.trainable_elements()));
  }
}

AdamW::AdamW(nn::ParameterStore& store, const AdamWSettings& settings, AdamWState state)
    : store_(store), settings_(settings), state_(std::move(state)) {}

void AdamW::update(const UpdateScalars& scalars) {
  const comm::Slice all{0, static_cast<std::size_t>(store_.trainable_elements())};
  update(scalars, std::span(&all, 1));
}

void AdamW::update(const UpdateScalars& scalars, std::span<const comm::Slice> parts,
                   const std::function<void(std::size_t)>& after) {
  ++state_.updates;
  if (store_.values().is_meta()) return;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    update_part(scalars, static_cast<std::int64_t>(parts[i].begin), static_cast<std::int64_t>(parts[i].end));
    if (after) after(i);
  }
}

void AdamW::update_part(const UpdateScalars& scalars, std::int64_t begin, std::int64_t end) {
  const auto n = static_cast<double>(state_.updates);
  const double correction1 = 1.0 - std::pow(settings_.beta1, n);
  const double correction2 = 1.0 - std::pow(settings_.beta2, n);
  dispatch_floating(store_.precision().parameter, [&]<class T>(T) {
    if constexpr (!std::is_same_v<T, bfloat16>) {
      for (const nn::ParameterSlot& slot : store_.trainable_slots()) {
        const std::int64_t from = std::max(begin, slot.offset);
        const std::int64_t to = std::min(end, slot.offset + slot.count);
        if (from >= to) continue;
        const double rate = scalars.learning_rate * slot.parameter->options().learning_rate_factor;
        const Coefficients<T> c{static_cast<T>(1.0 - rate * settings_.weight_decay),
                                static_cast<T>(settings_.beta1),
                                static_cast<T>(settings_.beta2),
                                static_cast<T>(rate / correction1),
                                static_cast<T>(1.0 / std::sqrt(correction2)),
                                static_cast<T>(settings_.eps),
                                static_cast<T>(scalars.gradient_scale),
                                static_cast<T>(scalars.average_smoothing)};
        update_range(c, to - from, store_.values().data<T>() + from, store_.gradients().data<T>() + from,
                     state_.first_moment.data<T>() + from, state_.second_moment.data<T>() + from,
                     state_.average.defined() ? state_.average.data<T>() + from : nullptr);
      }
    }
  });
  store_.refresh_compute_copy(begin, end);
}

}  // namespace tessera::train
