#include "ops/elementwise.hpp"

#include "compute/math.hpp"
#include "compute/parallel.hpp"
#include "ops/accumulate.hpp"
#include "ops/dispatch.hpp"
#include "ops/typed_slot.hpp"
#include "ops/validate.hpp"

namespace tessera::ops {
namespace {

// Activations: a value and a derivative, each of one number.
struct GeluTanh {
  template <class A>
  KOKKOS_INLINE_FUNCTION static A value(A x) {
    return math::gelu_tanh(x);
  }
  template <class A>
  KOKKOS_INLINE_FUNCTION static A derivative(A x) {
    return math::gelu_tanh_derivative(x);
  }
};
struct GeluErf {
  template <class A>
  KOKKOS_INLINE_FUNCTION static A value(A x) {
    return math::gelu_erf(x);
  }
  template <class A>
  KOKKOS_INLINE_FUNCTION static A derivative(A x) {
    return math::gelu_erf_derivative(x);
  }
};
struct Silu {
  template <class A>
  KOKKOS_INLINE_FUNCTION static A value(A x) {
    return math::silu(x);
  }
  template <class A>
  KOKKOS_INLINE_FUNCTION static A derivative(A x) {
    return math::silu_derivative(x);
  }
};

template <class F, class T>
void activate(std::int64_t count, const T* x, T* y) {
  using A = arithmetic_t<T>;
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) { y[i] = T(F::value(static_cast<A>(x[i]))); });
}

template <class F, bool add, class T>
void activate_backward(std::int64_t count, const T* x, const T* dy, T* dx) {
  using A = arithmetic_t<T>;
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) {
        put<add>(dx[i], static_cast<A>(dy[i]) * F::derivative(static_cast<A>(x[i])));
      });
}

template <class F>
Tensor activated(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  if (!y.is_meta()) {
    dispatch_floating(x.dtype(), [&]<class T>(T) { activate<F>(y.numel(), x.data<T>(), y.data<T>()); });
  }
  return y;
}

template <class F>
Variable activation(const Variable& x, const char* operation) {
  require_floating(x.value(), operation);
  const auto backward = [node = x.node(), input = x.kept()](const Tensor& dy) {
    const Tensor& value = input.tensor();
    const TypedSlot slot(node, value.dtype());
    if (!slot || dy.is_meta()) return;
    dispatch_floating(value.dtype(), [&]<class T>(T) {
      dispatch_flag(slot.accumulate(), [&](auto add) {
        activate_backward<F, add()>(dy.numel(), value.data<T>(), dy.data<T>(), slot.data<T>());
      });
    });
    slot.commit();
  };
  return record(activated<F>(x.value()), {x}, backward,
                [input = x.kept()] { return activated<F>(input.tensor()); });
}

template <bool add, class T>
void multiply(std::int64_t count, double factor, const T* x, T* y) {
  using A = arithmetic_t<T>;
  const A f = static_cast<A>(factor);
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) { put<add>(y[i], f * static_cast<A>(x[i])); });
}

template <class T>
void swiglu_forward(std::int64_t count, const T* gate, const T* value, T* y) {
  using A = arithmetic_t<T>;
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) {
        y[i] = T(math::silu(static_cast<A>(gate[i])) * static_cast<A>(value[i]));
      });
}

Tensor gated(const Tensor& gate, const Tensor& value) {
  Tensor y = Tensor::empty(gate.shape(), gate.dtype());
  if (!y.is_meta()) {
    dispatch_floating(gate.dtype(), [&]<class T>(T) {
      swiglu_forward(y.numel(), gate.data<T>(), value.data<T>(), y.data<T>());
    });
  }
  return y;
}

// Both gradients in one pass; each input is read once.
template <bool add_gate, bool add_value, class T>
void swiglu_backward(std::int64_t count, const T* gate, const T* value, const T* dy, T* dgate, T* dvalue) {
  using A = arithmetic_t<T>;
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) {
        const A g = static_cast<A>(gate[i]);
        const A v = static_cast<A>(value[i]);
        const A d = static_cast<A>(dy[i]);
        const math::Logistic<A> s = math::logistic(g);
        put<add_gate>(dgate[i], d * v * (s.value + g * s.slope));
        put<add_value>(dvalue[i], d * g * s.value);
      });
}
// One gradient only: the other input is a constant, or both inputs are one variable.
template <bool add, class T>
void swiglu_backward_gate(std::int64_t count, const T* gate, const T* value, const T* dy, T* dgate) {
  using A = arithmetic_t<T>;
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) {
        put<add>(dgate[i], static_cast<A>(dy[i]) * static_cast<A>(value[i]) *
                               math::silu_derivative(static_cast<A>(gate[i])));
      });
}
template <bool add, class T>
void swiglu_backward_value(std::int64_t count, const T* gate, const T* dy, T* dvalue) {
  using A = arithmetic_t<T>;
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) {
        put<add>(dvalue[i], static_cast<A>(dy[i]) * math::silu(static_cast<A>(gate[i])));
      });
}

template <class T, class U>
void sum_forward(std::int64_t count, const T* a, const U* b, T* y) {
  using A = arithmetic_t<T>;
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) { y[i] = T(static_cast<A>(a[i]) + static_cast<A>(b[i])); });
}

// One row is the innermost extent: long enough to vectorise, and many enough to fill a GPU.
struct ImageRows {
  std::int64_t rows;
  std::size_t per_image;
  std::size_t width;
};

ImageRows image_rows(const Shape& shape) {
  const std::int64_t width = shape.rank() < 2 || shape[-1] == 0 ? 1 : shape[-1];
  const std::int64_t rows = shape.numel() / width;
  const std::int64_t images = shape[0] == 0 ? 1 : shape[0];
  return {rows, static_cast<std::size_t>(rows / images), static_cast<std::size_t>(width)};
}

template <class X, class Z, class A>
void scale_add_forward(const ImageRows& s, const X* x, const A* a, const Z* z, const A* c, Z* y) {
  const std::size_t per_image = s.per_image;
  const std::size_t width = s.width;
  parallel_rows(
      s.rows, KOKKOS_LAMBDA(std::size_t row) {
        const A p = a[row / per_image];
        const A q = c[row / per_image];
        for (std::size_t i = row * width; i < (row + 1) * width; ++i) {
          y[i] = Z(p * static_cast<A>(x[i]) + q * static_cast<A>(z[i]));
        }
      });
}

template <bool add, class X, class Z, class A>
void scale_add_backward(const ImageRows& s, const A* a, const Z* dy, X* dx) {
  const std::size_t per_image = s.per_image;
  const std::size_t width = s.width;
  parallel_rows(
      s.rows, KOKKOS_LAMBDA(std::size_t row) {
        const A p = a[row / per_image];
        for (std::size_t i = row * width; i < (row + 1) * width; ++i) {
          put<add>(dx[i], p * static_cast<A>(dy[i]));
        }
      });
}

}  // namespace

Variable gelu_tanh(const Variable& x) { return activation<GeluTanh>(x, "gelu_tanh"); }
Variable gelu_erf(const Variable& x) { return activation<GeluErf>(x, "gelu_erf"); }
Variable silu(const Variable& x) { return activation<Silu>(x, "silu"); }

Variable swiglu(const Variable& gate, const Variable& value) {
  require_floating(gate.value(), "swiglu");
  require(gate.shape() == value.shape(), "swiglu", "gate and value have one shape", gate.shape(),
          value.shape());
  if (gate.dtype() != value.dtype()) {
    throw Error(std::string("gate and value have one type; got ") + name_of(gate.dtype()) + " and " +
                    name_of(value.dtype()),
                "swiglu");
  }
  const auto backward = [gate_node = gate.node(), value_node = value.node(), kept_gate = gate.kept(),
                         kept_value = value.kept()](const Tensor& dy) {
    const Tensor& g = kept_gate.tensor();
    const Tensor& v = kept_value.tensor();
    const TypedSlot dg(gate_node, g.dtype());
    // A variable that is both inputs gets its second contribution after the first.
    const bool same = gate_node != nullptr && gate_node == value_node;
    const TypedSlot dv(same ? nullptr : value_node, g.dtype());
    if (dy.is_meta()) return;
    const std::int64_t count = dy.numel();
    dispatch_floating(g.dtype(), [&]<class T>(T) {
      const auto value_gradient = [&](const TypedSlot& slot) {
        dispatch_flag(slot.accumulate(), [&](auto add) {
          swiglu_backward_value<add()>(count, g.data<T>(), dy.data<T>(), slot.data<T>());
        });
        slot.commit();
      };
      if (dg && dv) {
        dispatch_flag(dg.accumulate(), [&](auto add_gate) {
          dispatch_flag(dv.accumulate(), [&](auto add_value) {
            swiglu_backward<add_gate(), add_value()>(count, g.data<T>(), v.data<T>(), dy.data<T>(),
                                                     dg.data<T>(), dv.data<T>());
          });
        });
        dg.commit();
        dv.commit();
      } else if (dg) {
        dispatch_flag(dg.accumulate(), [&](auto add) {
          swiglu_backward_gate<add()>(count, g.data<T>(), v.data<T>(), dy.data<T>(), dg.data<T>());
        });
        dg.commit();
        if (same) value_gradient(TypedSlot(value_node, g.dtype()));
      } else if (dv) {
        value_gradient(dv);
      }
    });
  };
  return record(gated(gate.value(), value.value()), {gate, value}, backward,
                [g = gate.kept(), v = value.kept()] { return gated(g.tensor(), v.tensor()); });
}

Variable add(const Variable& a, const Variable& b) {
  require(a.shape() == b.shape(), "add", "both terms have one shape", a.shape(), b.shape());
  Tensor y = Tensor::empty(a.shape(), a.dtype());
  dispatch_pair(a.dtype(), b.dtype(), "add", [&]<class T, class U>(T, U) {
    if (!y.is_meta()) {
      sum_forward(y.numel(), a.value().data<T>(), b.value().data<U>(), y.data<T>());
    }
  });
  return record(y, {a, b}, [first = a.node(), second = b.node()](const Tensor& dy) {
    // The second term gets a copy: two nodes that add to one memory would spoil each other's gradient.
    if (const GradientSlot slot(second); slot) add_into(dy, slot.tensor, slot.accumulate);
    pass_gradient(first, dy);
  });
}

Variable scale(const Variable& x, double factor) {
  require_floating(x.value(), "scale");
  const Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_floating(x.dtype(), [&]<class T>(T) {
    if (!y.is_meta()) multiply<false>(y.numel(), factor, x.value().data<T>(), y.data<T>());
  });
  return record(y, {x}, [node = x.node(), type = x.dtype(), factor](const Tensor& dy) {
    const TypedSlot slot(node, type);
    if (!slot || dy.is_meta()) return;
    dispatch_floating(type, [&]<class T>(T) {
      dispatch_flag(slot.accumulate(),
                    [&](auto add) { multiply<add()>(dy.numel(), factor, dy.data<T>(), slot.data<T>()); });
    });
    slot.commit();
  });
}

Variable cast(const Variable& x, DType type) {
  if (x.dtype() == type) return x;
  const Kept kept = x.kept();
  Remake remake;
  if (kept.remade()) remake = [kept, type] { return converted(kept.tensor(), type); };
  return record(
      converted(x.value(), type), {x}, [node = x.node()](const Tensor& dy) { pass_gradient(node, dy); },
      remake);
}

Variable reshape(const Variable& x, const Shape& shape) {
  require(shape.numel() == x.shape().numel(), "reshape", "the number of elements must stay", x.shape(),
          shape);
  const Kept kept = x.kept();
  Remake remake;
  if (kept.remade()) remake = [kept, shape] { return kept.tensor().view(shape); };
  return record(
      x.value().view(shape), {x}, [node = x.node()](const Tensor& dy) { pass_gradient(node, dy); }, remake);
}

Variable scale_add_per_image(const Variable& x, const Tensor& a, const Tensor& z, const Tensor& c) {
  const char* const operation = "scale_add_per_image";
  require(x.shape() == z.shape(), operation, "x and z have one shape", x.shape(), z.shape());
  require(x.shape().rank() >= 1, operation, "x has a batch extent", x.shape());
  const std::int64_t images = x.shape()[0];
  require(a.numel() == images && c.numel() == images, operation, "a and c hold one number per image of x",
          a.shape(), x.shape());
  const DType type = x.dtype() == DType::f64 || z.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Tensor scale = converted(a, type);
  const Tensor rest = converted(c, type);
  const ImageRows rows = image_rows(x.shape());
  Tensor y = Tensor::empty(z.shape(), z.dtype());
  if (!y.is_meta()) {
    dispatch_floating(type, [&]<class A>(A) {
      if constexpr (!std::is_same_v<A, bfloat16>) {
        dispatch_floating(x.dtype(), [&]<class X>(X) {
          dispatch_floating(z.dtype(), [&]<class Z>(Z) {
            scale_add_forward(rows, x.value().data<X>(), scale.data<A>(), z.data<Z>(), rest.data<A>(),
                              y.data<Z>());
          });
        });
      }
    });
  }
  return record(y, {x}, [node = x.node(), scale, rows, type, dx_type = x.dtype()](const Tensor& dy) {
    const TypedSlot slot(node, dx_type);
    if (!slot || dy.is_meta()) return;
    dispatch_floating(type, [&]<class A>(A) {
      if constexpr (!std::is_same_v<A, bfloat16>) {
        dispatch_floating(dx_type, [&]<class X>(X) {
          dispatch_floating(dy.dtype(), [&]<class Z>(Z) {
            dispatch_flag(slot.accumulate(), [&](auto add) {
              scale_add_backward<add()>(rows, scale.data<A>(), dy.data<Z>(), slot.data<X>());
            });
          });
        });
      }
    });
    slot.commit();
  });
}

}  // namespace tessera::ops
