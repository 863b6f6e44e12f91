#include "ops/variational_bound.hpp"

#include "compute/parallel.hpp"
#include "ops/accumulate.hpp"
#include "ops/bound_terms.hpp"
#include "ops/dispatch.hpp"
#include "ops/kept_cells.hpp"
#include "ops/typed_slot.hpp"
#include "ops/validate.hpp"

namespace tessera::ops {
namespace {

constexpr double bits_per_nat = 1.44269504088896340736;

/// What an element's term depends on.
template <class P, class A>
struct Elements {
  const P* v;
  const P* epsilon;
  const A* noise;
  const A* clean;
};

template <class A>
struct Steps {
  const A* distance;
  const A* low;
  const A* high;
  const A* last;
};

/// One image's step.
template <class A>
struct Step {
  A distance, low, high;
  bool last;

  KOKKOS_INLINE_FUNCTION Step(const Steps<A>& steps, std::size_t image)
      : distance(steps.distance[image]),
        low(steps.low[image]),
        high(steps.high[image]),
        last(steps.last[image] != A(0)) {}

  /// The term of one element in bits; its slope is with respect to v.
  template <bool at_last, class P>
  [[nodiscard]] KOKKOS_INLINE_FUNCTION BoundTerm<A> term(const Elements<P, A>& e, std::size_t i) const {
    const A fraction = A(0.5) * (static_cast<A>(e.v[i]) + A(1));
    const A log_variance = fraction * high + (A(1) - fraction) * low;
    const A apart = distance * (static_cast<A>(e.epsilon[i]) - e.noise[i]);
    BoundTerm<A> nats;
    if constexpr (at_last) {
      const BoundTerm<double> bin = bin_term(static_cast<double>(apart), static_cast<double>(e.clean[i]),
                                             static_cast<double>(log_variance));
      nats = {static_cast<A>(bin.value), static_cast<A>(bin.slope)};
    } else {
      nats = kl_term(apart, low, log_variance);
    }
    return {A(bits_per_nat) * nats.value, A(0.5 * bits_per_nat) * (high - low) * nats.slope};
  }
};

template <bool at_last, class P, class A>
KOKKOS_INLINE_FUNCTION double line_sum(const Step<A>& step, const Elements<P, A>& e, std::size_t from,
                                       std::size_t to) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t x = from; x < to; ++x) {
    sum += static_cast<double>(step.template term<at_last>(e, x).value);
  }
  return sum;
}

// partial[image, channel] = sum of factor * term, in float64.
template <class P, class A>
void channel_terms(const Cells& cells, const Steps<A>& steps, const Elements<P, A>& elements, const A* factor,
                   double* partial) {
  const Cells s = cells;
  parallel_rows(
      static_cast<std::int64_t>(s.images * s.channels), KOKKOS_LAMBDA(std::size_t index) {
        const std::size_t image = index / s.channels;
        const Step<A> step(steps, image);
        double sum = 0;
        for (std::size_t y = 0; y < s.height; ++y) {
          const A* f = s.factors(factor, image, y);
          const std::size_t line = (index * s.height + y) * s.width;
          for (std::size_t cell = 0; cell < s.columns(); ++cell) {
            const std::size_t from = line + cell * s.cell_width;
            const std::size_t to = from + s.cell_width;
            sum += static_cast<double>(f[cell]) * (step.last ? line_sum<true>(step, elements, from, to)
                                                             : line_sum<false>(step, elements, from, to));
          }
        }
        partial[index] = sum;
      });
}

template <bool add, bool at_last, class P, class A>
KOKKOS_INLINE_FUNCTION void line_slopes(const Step<A>& step, const Elements<P, A>& e, A seed,
                                        std::size_t from, std::size_t to, P* gradient) {
#pragma omp simd
  for (std::size_t x = from; x < to; ++x) {
    put<add>(gradient[x], seed * step.template term<at_last>(e, x).slope);
  }
}

template <bool add, class P, class A>
void terms_backward(const Cells& cells, const Steps<A>& steps, const Elements<P, A>& elements,
                    const A* factor, const A* weight, const A* dloss, P* gradient) {
  const Cells s = cells;
  parallel_rows(
      static_cast<std::int64_t>(s.images * s.channels * s.height), KOKKOS_LAMBDA(std::size_t line) {
        const std::size_t image = line / s.height / s.channels;
        const Step<A> step(steps, image);
        const A* f = s.factors(factor, image, line % s.height);
        for (std::size_t cell = 0; cell < s.columns(); ++cell) {
          const A seed = dloss[image] * weight[image] * f[cell];
          const std::size_t from = line * s.width + cell * s.cell_width;
          const std::size_t to = from + s.cell_width;
          if (step.last) {
            line_slopes<add, true>(step, elements, seed, from, to, gradient);
          } else {
            line_slopes<add, false>(step, elements, seed, from, to, gradient);
          }
        }
      });
}

/// Everything in the types that the kernels take.
struct Saved {
  Cells cells;
  Tensor v, epsilon, noise, clean, distance, low, high, last, weight, factor;

  template <class P, class A>
  [[nodiscard]] Elements<P, A> elements() const {
    return {v.data<P>(), epsilon.data<P>(), noise.data<A>(), clean.data<A>()};
  }
  template <class A>
  [[nodiscard]] Steps<A> steps() const {
    return {distance.data<A>(), low.data<A>(), high.data<A>(), last.data<A>()};
  }
};

}  // namespace

Variable variational_bound(const Variable& v, const Tensor& epsilon, const Tensor& noise, const Tensor& clean,
                           const ReverseSteps& steps, const Tensor& weight, const Tensor& removed,
                           std::int64_t patch) {
  const char* const operation = "variational_bound";
  require_floating(v.value(), operation);
  const Shape& shape = v.shape();
  require(shape.rank() == 4 && shape.numel() > 0, operation,
          "the variance must be [batch, channels, height, width] and not empty", shape);
  for (const Tensor* one : {&epsilon, &noise, &clean}) {
    require(one->shape() == shape, operation, "variance, noise and picture have one shape", shape,
            one->shape());
  }
  for (const Tensor* one :
       {&steps.mean_distance, &steps.log_variance_low, &steps.log_variance_high, &steps.is_last, &weight}) {
    require(one->shape() == Shape{shape[0]}, operation, "there must be one constant per image", one->shape(),
            shape);
  }
  const DType type = arithmetic_of(v.dtype());
  const Cells cells = cells_of(shape, removed, patch, operation);
  const Saved saved{cells,
                    v.value(),
                    converted(epsilon, v.dtype()),
                    converted(noise, type),
                    converted(clean, type),
                    converted(steps.mean_distance, type),
                    converted(steps.log_variance_low, type),
                    converted(steps.log_variance_high, type),
                    converted(steps.is_last, type),
                    converted(weight, type),
                    cell_factors(cells, removed, type)};
  Tensor loss = Tensor::empty({shape[0]}, type);
  if (!loss.is_meta()) {
    const Tensor partial = Tensor::empty({shape[0], shape[1]}, DType::f64);
    dispatch_floating(v.dtype(), [&]<class P>(P) {
      using A = arithmetic_t<P>;
      channel_terms(cells, saved.steps<A>(), saved.elements<P, A>(), saved.factor.data<A>(),
                    partial.data<double>());
      image_losses(cells, partial.data<double>(), saved.weight.data<A>(), loss.data<A>());
    });
  }
  return record(loss, {v}, [node = v.node(), saved](const Tensor& dloss) {
    const TypedSlot slot(node, saved.v.dtype());
    if (!slot || dloss.is_meta()) return;
    dispatch_floating(saved.v.dtype(), [&]<class P>(P) {
      using A = arithmetic_t<P>;
      dispatch_flag(slot.accumulate(), [&](auto add) {
        terms_backward<add()>(saved.cells, saved.steps<A>(), saved.elements<P, A>(), saved.factor.data<A>(),
                              saved.weight.data<A>(), dloss.data<A>(), slot.data<P>());
      });
    });
    slot.commit();
  });
}

}  // namespace tessera::ops
