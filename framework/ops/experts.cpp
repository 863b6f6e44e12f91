#include "ops/experts.hpp"

#include <string>

#include "compute/cost.hpp"
#include "compute/parallel.hpp"

namespace tessera::ops {
namespace {

constexpr std::int64_t block = 64;  // columns whose sums over experts stay in registers

/// Extents of a routing: `chosen` [experts, batch, count] of a batch with `tokens` tokens per image.
struct Routing {
  std::int64_t experts, batch, count, tokens;
};

Routing routing_of(const Tensor& chosen, std::int64_t batch, std::int64_t tokens, const char* operation) {
  const Shape& shape = chosen.shape();
  if (chosen.dtype() != DType::i32 || shape.rank() != 3 || shape[1] != batch || shape[2] > tokens) {
    throw Error(std::string(operation) + " got a choice " + shape.to_string() + " of " +
                name_of(chosen.dtype()) + " [experts, batch, count] for a batch of " + std::to_string(batch) +
                " images with " + std::to_string(tokens) + " tokens");
  }
  return {shape[0], shape[1], shape[2], tokens};
}

/// Keeps the best `count` tokens of a column in a heap whose root is the worst of them, then sorts the heap.
/// Only raw loops on the output's own memory, so that it can run on a device.
template <class P>
void choose(const P* probabilities, std::int32_t* chosen, const Routing& routing) {
  using A = arithmetic_t<P>;
  const std::int64_t experts = routing.experts;
  const std::int64_t batch = routing.batch;
  const std::int64_t count = routing.count;
  const std::int64_t tokens = routing.tokens;
  parallel_rows(
      experts * batch, KOKKOS_LAMBDA(std::size_t index) {
        const std::int64_t e = static_cast<std::int64_t>(index) / batch;
        const std::int64_t b = static_cast<std::int64_t>(index) % batch;
        const P* p = probabilities + b * tokens * experts + e;
        std::int32_t* heap = chosen + static_cast<std::int64_t>(index) * count;
        const auto better = [p, experts](std::int32_t i, std::int32_t j) {
          const A left = static_cast<A>(p[i * experts]);
          const A right = static_cast<A>(p[j * experts]);
          return left > right || (left == right && i < j);
        };
        const auto sink = [heap, &better](std::int64_t at, std::int64_t size) {
          const std::int32_t token = heap[at];
          while (2 * at + 1 < size) {
            std::int64_t child = 2 * at + 1;
            if (child + 1 < size && better(heap[child], heap[child + 1])) ++child;
            if (!better(token, heap[child])) break;
            heap[at] = heap[child];
            at = child;
          }
          heap[at] = token;
        };
        for (std::int64_t i = 0; i < count; ++i) heap[i] = static_cast<std::int32_t>(i);
        for (std::int64_t i = count / 2 - 1; i >= 0; --i) sink(i, count);
        for (std::int64_t t = count; t < tokens; ++t) {
          if (!better(static_cast<std::int32_t>(t), heap[0])) continue;
          heap[0] = static_cast<std::int32_t>(t);
          sink(0, count);
        }
        for (std::int64_t size = count - 1; size > 0; --size) {
          const std::int32_t worst = heap[0];
          heap[0] = heap[size];
          heap[size] = worst;
          sink(0, size);
        }
      });
}

/// slots[b, t, e] = the place of token t in the choice of expert e, or -1: what lets every token sum its own
/// contributions, in the order of the experts and without atomics. An expert chooses a token at most once.
Tensor slots_of(const Tensor& chosen, const Routing& routing) {
  const std::int64_t experts = routing.experts;
  const std::int64_t batch = routing.batch;
  const std::int64_t count = routing.count;
  const std::int64_t tokens = routing.tokens;
  const Tensor slots = Tensor::empty({batch, tokens, experts}, DType::i32);
  std::int32_t* slot = slots.data<std::int32_t>();
  const std::int32_t* token = chosen.data<std::int32_t>();
  parallel_elements(
      slots.numel(), KOKKOS_LAMBDA(std::size_t i) { slot[i] = -1; });
  parallel_rows(
      experts * batch, KOKKOS_LAMBDA(std::size_t index) {
        const std::int64_t e = static_cast<std::int64_t>(index) / batch;
        const std::int64_t b = static_cast<std::int64_t>(index) % batch;
        for (std::int64_t s = 0; s < count; ++s) {
          const std::int64_t t = token[static_cast<std::int64_t>(index) * count + s];
          slot[(b * tokens + t) * experts + e] = static_cast<std::int32_t>(s);
        }
      });
  return slots;
}

template <class T>
void gather(const T* x, const std::int32_t* chosen, T* gathered, const Routing& routing, std::int64_t width) {
  const std::int64_t batch = routing.batch;
  const std::int64_t count = routing.count;
  const std::int64_t tokens = routing.tokens;
  parallel_rows(
      routing.experts * batch * count, KOKKOS_LAMBDA(std::size_t row) {
        const std::int64_t b = static_cast<std::int64_t>(row) / count % batch;
        const T* from = x + (b * tokens + chosen[row]) * width;
        T* to = gathered + static_cast<std::int64_t>(row) * width;
        for (std::int64_t j = 0; j < width; ++j) to[j] = from[j];
      });
}

/// y[b, t] = sum over e of weight * rows[e, b*count + slot], weight being probabilities[b, t, e], or 1
/// without probabilities.
template <class R, class P, class Y>
void combine(const R* rows, const P* probabilities, const std::int32_t* slots, Y* y, const Routing& routing,
             std::int64_t width, bool accumulate) {
  using A = arithmetic_t<Y>;
  const std::int64_t experts = routing.experts;
  const std::int64_t batch = routing.batch;
  const std::int64_t count = routing.count;
  const std::int64_t tokens = routing.tokens;
  parallel_rows(
      batch * tokens, KOKKOS_LAMBDA(std::size_t index) {
        const auto token = static_cast<std::int64_t>(index);
        const std::int64_t b = token / tokens;
        for (std::int64_t begin = 0; begin < width; begin += block) {
          const std::int64_t columns = width - begin < block ? width - begin : block;
          Y* to = y + token * width + begin;
          A sum[block] = {};
          if (accumulate) {
            for (std::int64_t j = 0; j < columns; ++j) sum[j] = static_cast<A>(to[j]);
          }
          for (std::int64_t e = 0; e < experts; ++e) {
            const std::int32_t slot = slots[token * experts + e];
            if (slot < 0) continue;
            const R* from = rows + ((e * batch + b) * count + slot) * width + begin;
            A weight = 1;
            if (probabilities != nullptr) {
              weight = static_cast<A>(static_cast<arithmetic_t<P>>(probabilities[token * experts + e]));
            }
            if (columns == block) {
              for (std::int64_t j = 0; j < block; ++j) {
                sum[j] += weight * static_cast<A>(static_cast<arithmetic_t<R>>(from[j]));
              }
            } else {
              for (std::int64_t j = 0; j < columns; ++j) {
                sum[j] += weight * static_cast<A>(static_cast<arithmetic_t<R>>(from[j]));
              }
            }
          }
          for (std::int64_t j = 0; j < columns; ++j) to[j] = Y(sum[j]);
        }
      });
}

/// The gradients of scatter_chosen, each skipped when null; d_probabilities is written only where chosen.
template <class R, class P>
void scatter_backward(const R* gradient, const R* outputs, const P* probabilities, const std::int32_t* chosen,
                      R* d_outputs, P* d_probabilities, const Routing& routing, std::int64_t width) {
  using A = arithmetic_t<R>;
  const std::int64_t experts = routing.experts;
  const std::int64_t batch = routing.batch;
  const std::int64_t count = routing.count;
  const std::int64_t tokens = routing.tokens;
  parallel_rows(
      experts * batch * count, KOKKOS_LAMBDA(std::size_t index) {
        const auto row = static_cast<std::int64_t>(index);
        const std::int64_t e = row / (batch * count);
        const std::int64_t token = row / count % batch * tokens + chosen[row];
        const R* g = gradient + token * width;
        if (d_probabilities != nullptr) {
          const R* output = outputs + row * width;
          A dot = 0;
#pragma omp simd reduction(+ : dot)
          for (std::int64_t j = 0; j < width; ++j) dot += static_cast<A>(g[j]) * static_cast<A>(output[j]);
          d_probabilities[token * experts + e] = P(static_cast<arithmetic_t<P>>(dot));
        }
        if (d_outputs != nullptr) {
          const A weight = static_cast<A>(static_cast<arithmetic_t<P>>(probabilities[token * experts + e]));
          R* to = d_outputs + row * width;
          for (std::int64_t j = 0; j < width; ++j) to[j] = R(weight * static_cast<A>(g[j]));
        }
      });
}

/// [experts * count, tokens] one-hot rows times [tokens, width], for every image, or the way back.
void count_one_hot(const Routing& routing, std::int64_t width) {
  compute::add_one_hot_flops(2.0 * static_cast<double>(routing.batch * routing.experts * routing.count) *
                             static_cast<double>(routing.tokens * width));
}

void check_batch(const Tensor& x, const char* operation) {
  if (x.shape().rank() != 3) {
    throw Error(std::string(operation) + " needs a tensor of three extents, not " + x.shape().to_string());
  }
}

}  // namespace

Tensor choose_tokens(const Tensor& probabilities, std::int64_t count) {
  check_batch(probabilities, "the choice of tokens");
  const Routing routing{probabilities.shape()[2], probabilities.shape()[0], count, probabilities.shape()[1]};
  if (count < 0 || count > routing.tokens) {
    throw Error("an expert cannot choose " + std::to_string(count) + " of " + std::to_string(routing.tokens) +
                    " tokens",
                {}, "lower the capacity factor of the experts");
  }
  const Tensor chosen = Tensor::empty({routing.experts, routing.batch, count}, DType::i32);
  if (chosen.is_meta() || count == 0) return chosen;
  dispatch_floating(probabilities.dtype(), [&]<class P>(P) {
    choose(probabilities.data<P>(), chosen.data<std::int32_t>(), routing);
  });
  return chosen;
}

Variable gather_chosen(const Variable& x, const Tensor& chosen) {
  check_batch(x.value(), "the gathering of chosen tokens");
  const Routing routing = routing_of(chosen, x.shape()[0], x.shape()[1], "the gathering of chosen tokens");
  const std::int64_t width = x.shape()[2];
  count_one_hot(routing, width);
  const auto forward = [chosen, routing, width](const Tensor& tokens) {
    const Tensor gathered =
        Tensor::empty({routing.experts, routing.batch * routing.count, width}, tokens.dtype());
    if (!gathered.is_meta()) {
      dispatch_floating(tokens.dtype(), [&]<class T>(T) {
        gather(tokens.data<T>(), chosen.data<std::int32_t>(), gathered.data<T>(), routing, width);
      });
    }
    return gathered;
  };
  const auto backward = [chosen, routing, width, node = x.node()](const Tensor& gradient) {
    const GradientSlot slot(node);
    if (!slot || slot.tensor.is_meta()) return;
    const Tensor slots = slots_of(chosen, routing);
    dispatch_floating(gradient.dtype(), [&]<class G>(G) {
      dispatch_floating(slot.tensor.dtype(), [&]<class X>(X) {
        const X* no_weights = nullptr;
        combine(gradient.data<G>(), no_weights, slots.data<std::int32_t>(), slot.tensor.data<X>(), routing,
                width, slot.accumulate);
      });
    });
  };
  const Kept kept = x.kept();
  Remake remake;
  if (kept.remade()) remake = [forward, kept] { return forward(kept.tensor()); };
  return record(forward(x.value()), {x}, backward, remake);
}

Variable scatter_chosen(const Variable& outputs, const Variable& probabilities, const Tensor& chosen) {
  const char* const operation = "the scattering of expert outputs";
  check_batch(outputs.value(), operation);
  check_batch(probabilities.value(), operation);
  const Routing routing = routing_of(chosen, probabilities.shape()[0], probabilities.shape()[1], operation);
  const std::int64_t width = outputs.shape()[2];
  if (probabilities.shape()[2] != routing.experts ||
      !(outputs.shape() == Shape{routing.experts, routing.batch * routing.count, width})) {
    throw Error(std::string(operation) + " got outputs " + outputs.shape().to_string() +
                " [experts, batch*count, width] and probabilities " + probabilities.shape().to_string() +
                " [batch, tokens, experts] for a choice " + chosen.shape().to_string());
  }
  count_one_hot(routing, width);
  const Tensor y = Tensor::empty({routing.batch, routing.tokens, width}, outputs.dtype());
  if (!y.is_meta()) {
    const Tensor slots = slots_of(chosen, routing);
    dispatch_floating(outputs.dtype(), [&]<class R>(R) {
      dispatch_floating(probabilities.dtype(), [&]<class P>(P) {
        combine(outputs.value().data<R>(), probabilities.value().data<P>(), slots.data<std::int32_t>(),
                y.data<R>(), routing, width, false);
      });
    });
  }
  return record(y, {outputs, probabilities},
                [chosen, routing, width, outputs, probabilities](const Tensor& gradient) {
                  Tensor d_outputs;
                  Tensor d_probabilities;
                  if (outputs.requires_grad()) d_outputs = Tensor::empty(outputs.shape(), outputs.dtype());
                  if (probabilities.requires_grad()) {
                    d_probabilities = Tensor::zeros(probabilities.shape(), probabilities.dtype());
                  }
                  if (!gradient.is_meta()) {
                    dispatch_floating(outputs.dtype(), [&]<class R>(R) {
                      dispatch_floating(probabilities.dtype(), [&]<class P>(P) {
                        scatter_backward(
                            gradient.data<R>(), outputs.value().data<R>(), probabilities.value().data<P>(),
                            chosen.data<std::int32_t>(), d_outputs.defined() ? d_outputs.data<R>() : nullptr,
                            d_probabilities.defined() ? d_probabilities.data<P>() : nullptr, routing, width);
                      });
                    });
                  }
                  pass_gradient(outputs.node(), d_outputs);
                  pass_gradient(probabilities.node(), d_probabilities);
                });
}

}  // namespace tessera::ops
