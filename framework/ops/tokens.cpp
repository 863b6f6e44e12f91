#include "ops/tokens.hpp"

#include "compute/parallel.hpp"
#include "ops/accumulate.hpp"
#include "ops/dispatch.hpp"
#include "ops/typed_slot.hpp"
#include "ops/validate.hpp"

namespace tessera::ops {
namespace {

// A grid of patches in an image, and where an element of a token lies in its token.
struct Patches {
  std::size_t images;
  std::size_t channels;
  std::size_t rows;     // of patches
  std::size_t columns;  // of patches
  std::size_t patch;
  std::size_t channel_step;  // distance in a token from one channel to the next
  std::size_t pixel_step;    // and from one pixel of the patch to the next

  [[nodiscard]] std::int64_t tokens() const { return static_cast<std::int64_t>(images * rows * columns); }
  [[nodiscard]] KOKKOS_INLINE_FUNCTION std::size_t token_width() const { return channels * patch * patch; }
};

// to[token] = the token's patch of `image`, for every token.
template <bool add, class S, class D>
void image_to_tokens(const Patches& patches, const S* image, D* tokens) {
  using A = arithmetic_t<D>;
  const Patches p = patches;
  parallel_rows(
      p.tokens(), KOKKOS_LAMBDA(std::size_t token) {
        const std::size_t column = token % p.columns;
        const std::size_t row = token / p.columns % p.rows;
        const std::size_t width = p.columns * p.patch;
        const std::size_t height = p.rows * p.patch;
        const S* from = image + token / (p.columns * p.rows) * p.channels * height * width;
        D* to = tokens + token * p.token_width();
        for (std::size_t c = 0; c < p.channels; ++c) {
          for (std::size_t y = 0; y < p.patch; ++y) {
            const S* line = from + (c * height + row * p.patch + y) * width + column * p.patch;
            D* out = to + c * p.channel_step + y * p.patch * p.pixel_step;
            for (std::size_t x = 0; x < p.patch; ++x)
              put<add>(out[x * p.pixel_step], static_cast<A>(line[x]));
          }
        }
      });
}

// The inverse: every pixel belongs to one patch.
template <bool add, class S, class D>
void tokens_to_image(const Patches& patches, const S* tokens, D* image) {
  using A = arithmetic_t<D>;
  const Patches p = patches;
  parallel_rows(
      p.tokens(), KOKKOS_LAMBDA(std::size_t token) {
        const std::size_t column = token % p.columns;
        const std::size_t row = token / p.columns % p.rows;
        const std::size_t width = p.columns * p.patch;
        const std::size_t height = p.rows * p.patch;
        D* to = image + token / (p.columns * p.rows) * p.channels * height * width;
        const S* from = tokens + token * p.token_width();
        for (std::size_t c = 0; c < p.channels; ++c) {
          for (std::size_t y = 0; y < p.patch; ++y) {
            D* line = to + (c * height + row * p.patch + y) * width + column * p.patch;
            const S* in = from + c * p.channel_step + y * p.patch * p.pixel_step;
            for (std::size_t x = 0; x < p.patch; ++x) put<add>(line[x], static_cast<A>(in[x * p.pixel_step]));
          }
        }
      });
}

template <class X, class P>
void add_positions_forward(std::int64_t rows, std::size_t tokens, std::size_t width, const X* x,
                           const P* positions, X* y) {
  using A = arithmetic_t<X>;
  parallel_rows(
      rows, KOKKOS_LAMBDA(std::size_t row) {
        const X* xr = x + row * width;
        const P* pr = positions + row % tokens * width;
        X* yr = y + row * width;
#pragma omp simd
        for (std::size_t i = 0; i < width; ++i)
          put<false>(yr[i], static_cast<A>(xr[i]) + static_cast<A>(pr[i]));
      });
}

// Rows of x [images, sources, width] chosen for y [images, targets, width]: y[b, j] = x[b, index[b, j]].
struct RowChoice {
  std::size_t images;
  std::size_t sources;
  std::size_t targets;
  std::size_t width;
};

// An index from `sources` up means a row of zeros where `zeros_beyond`; any other index outside is a mistake
// of the caller that a kernel cannot report: it gives a row of NaN, which no training step lets pass.
template <bool add, class T>
void choose_rows(const RowChoice& choice, const T* x, const std::int32_t* index, T* y, bool zeros_beyond) {
  using A = arithmetic_t<T>;
  const RowChoice s = choice;
  parallel_rows(
      static_cast<std::int64_t>(s.images * s.targets), KOKKOS_LAMBDA(std::size_t row) {
        const std::int32_t place = index[row];
        const bool inside = place >= 0 && static_cast<std::size_t>(place) < s.sources;
        T* to = y + row * s.width;
        if (inside) {
          const T* from = x + (row / s.targets * s.sources + static_cast<std::size_t>(place)) * s.width;
#pragma omp simd
          for (std::size_t i = 0; i < s.width; ++i) put<add>(to[i], static_cast<A>(from[i]));
        } else {
          const A value = zeros_beyond && place >= 0 ? A(0) : static_cast<A>(__builtin_nanf(""));
          for (std::size_t i = 0; i < s.width; ++i) put<add>(to[i], value);
        }
      });
}

// inverse[b, index[b, j]] = j for places below `places`; `nowhere` where no j points.
void invert(std::size_t images, std::size_t count, std::size_t places, const std::int32_t* index,
            std::int32_t* inverse, std::int32_t nowhere) {
  parallel_rows(
      static_cast<std::int64_t>(images), KOKKOS_LAMBDA(std::size_t b) {
        std::int32_t* to = inverse + b * places;
        for (std::size_t k = 0; k < places; ++k) to[k] = nowhere;
        for (std::size_t j = 0; j < count; ++j) {
          const std::int32_t place = index[b * count + j];
          if (place >= 0 && static_cast<std::size_t>(place) < places)
            to[place] = static_cast<std::int32_t>(j);
        }
      });
}

// Rows chosen by `index`; its backward chooses rows of dy by the inverse index, in which a source that was
// not chosen points beyond the last row and so gets a zero gradient.
Variable choose(const Variable& x, const Tensor& index, bool zeros_beyond, const char* operation) {
  require_floating(x.value(), operation);
  require(x.shape().rank() == 3 && index.shape().rank() == 2 && index.shape()[0] == x.shape()[0], operation,
          "x must be [batch, tokens, width] and the indices [batch, tokens]", x.shape(), index.shape());
  if (index.dtype() != DType::i32) {
    throw Error(std::string("the indices must be int32, not ") + name_of(index.dtype()), operation);
  }
  const RowChoice s{static_cast<std::size_t>(x.shape()[0]), static_cast<std::size_t>(x.shape()[1]),
                    static_cast<std::size_t>(index.shape()[1]), static_cast<std::size_t>(x.shape()[2])};
  Tensor y = Tensor::empty({x.shape()[0], index.shape()[1], x.shape()[2]}, x.dtype());
  if (!y.is_meta()) {
    dispatch_floating(x.dtype(), [&]<class T>(T) {
      choose_rows<false>(s, x.value().data<T>(), index.data<std::int32_t>(), y.data<T>(), zeros_beyond);
    });
  }
  return record(y, {x}, [node = x.node(), s, index, type = x.dtype()](const Tensor& dy) {
    const TypedSlot slot(node, type);
    if (!slot || dy.is_meta()) return;
    const Tensor inverse = Tensor::empty(
        {static_cast<std::int64_t>(s.images), static_cast<std::int64_t>(s.sources)}, DType::i32);
    invert(s.images, s.targets, s.sources, index.data<std::int32_t>(), inverse.data<std::int32_t>(),
           static_cast<std::int32_t>(s.targets));
    const RowChoice back{s.images, s.targets, s.sources, s.width};
    dispatch_floating(type, [&]<class T>(T) {
      dispatch_flag(slot.accumulate(), [&](auto add) {
        choose_rows<add()>(back, dy.data<T>(), inverse.data<std::int32_t>(), slot.data<T>(), true);
      });
    });
    slot.commit();
  });
}

template <class X, class Y>
void mean_forward(const RowChoice& s, const X* x, Y* y) {
  using A = arithmetic_t<X>;
  constexpr std::size_t block = 128;
  const std::size_t width = s.width;
  const std::size_t tokens = s.sources;
  const std::size_t blocks = (width + block - 1) / block;
  parallel_rows(
      static_cast<std::int64_t>(s.images * blocks), KOKKOS_LAMBDA(std::size_t index) {
        const std::size_t image = index / blocks;
        const std::size_t first = index % blocks * block;
        const std::size_t columns = width - first < block ? width - first : block;
        A sum[block] = {};
        for (std::size_t t = 0; t < tokens; ++t) {
          const X* from = x + (image * tokens + t) * width + first;
#pragma omp simd
          for (std::size_t i = 0; i < columns; ++i) sum[i] += static_cast<A>(from[i]);
        }
        for (std::size_t i = 0; i < columns; ++i) {
          y[image * width + first + i] = Y(sum[i] / static_cast<A>(tokens));
        }
      });
}

template <bool add, class X, class Y>
void mean_backward(const RowChoice& s, const Y* dy, X* dx) {
  using A = arithmetic_t<X>;
  const std::size_t width = s.width;
  const std::size_t tokens = s.sources;
  parallel_rows(
      static_cast<std::int64_t>(s.images * tokens), KOKKOS_LAMBDA(std::size_t row) {
        const Y* from = dy + row / tokens * width;
        X* to = dx + row * width;
        const A factor = A(1) / static_cast<A>(tokens);
#pragma omp simd
        for (std::size_t i = 0; i < width; ++i) put<add>(to[i], factor * static_cast<A>(from[i]));
      });
}

}  // namespace

Variable patchify(const Variable& latent, std::int64_t patch) {
  require_floating(latent.value(), "patchify");
  const Shape& s = latent.shape();
  require(s.rank() == 4 && patch > 0 && s[2] % patch == 0 && s[3] % patch == 0, "patchify",
          "the latent must be [batch, channels, height, width] with sides that the patch divides", s,
          {patch, patch});
  const auto side = static_cast<std::size_t>(patch);
  const Patches p{static_cast<std::size_t>(s[0]),
                  static_cast<std::size_t>(s[1]),
                  static_cast<std::size_t>(s[2]) / side,
                  static_cast<std::size_t>(s[3]) / side,
                  side,
                  side * side,
                  1};
  Tensor y = Tensor::empty({s[0], (s[2] / patch) * (s[3] / patch), s[1] * patch * patch}, latent.dtype());
  if (!y.is_meta()) {
    dispatch_floating(latent.dtype(),
                      [&]<class T>(T) { image_to_tokens<false>(p, latent.value().data<T>(), y.data<T>()); });
  }
  return record(y, {latent}, [node = latent.node(), p, type = latent.dtype()](const Tensor& dy) {
    const TypedSlot slot(node, type);
    if (!slot || dy.is_meta()) return;
    dispatch_floating(type, [&]<class T>(T) {
      dispatch_flag(slot.accumulate(),
                    [&](auto add) { tokens_to_image<add()>(p, dy.data<T>(), slot.data<T>()); });
    });
    slot.commit();
  });
}

Variable unpatchify(const Variable& tokens, std::int64_t patch, std::int64_t rows, std::int64_t columns) {
  require_floating(tokens.value(), "unpatchify");
  const Shape& s = tokens.shape();
  require(s.rank() == 3 && patch > 0 && s[1] == rows * columns && s[2] % (patch * patch) == 0, "unpatchify",
          "the tokens must be [batch, rows * columns, patch * patch * channels]; rows, columns, patch follow",
          s, {rows, columns, patch});
  const std::int64_t channels = s[2] / (patch * patch);
  const Patches p{static_cast<std::size_t>(s[0]),    static_cast<std::size_t>(channels),
                  static_cast<std::size_t>(rows),    static_cast<std::size_t>(columns),
                  static_cast<std::size_t>(patch),   1,
                  static_cast<std::size_t>(channels)};
  Tensor y = Tensor::empty({s[0], channels, rows * patch, columns * patch}, tokens.dtype());
  if (!y.is_meta()) {
    dispatch_floating(tokens.dtype(),
                      [&]<class T>(T) { tokens_to_image<false>(p, tokens.value().data<T>(), y.data<T>()); });
  }
  return record(y, {tokens}, [node = tokens.node(), p, type = tokens.dtype()](const Tensor& dy) {
    const TypedSlot slot(node, type);
    if (!slot || dy.is_meta()) return;
    dispatch_floating(type, [&]<class T>(T) {
      dispatch_flag(slot.accumulate(),
                    [&](auto add) { image_to_tokens<add()>(p, dy.data<T>(), slot.data<T>()); });
    });
    slot.commit();
  });
}

Variable add_positions(const Variable& x, const Tensor& positions) {
  const Shape& s = x.shape();
  require(s.rank() == 3 && positions.shape() == Shape{s[1], s[2]}, "add_positions",
          "x must be [batch, tokens, width] and the positions [tokens, width]", s, positions.shape());
  const Tensor added = x.dtype() == DType::f64 ? converted(positions, DType::f64) : positions;
  Tensor y = Tensor::empty(s, x.dtype());
  dispatch_pair(x.dtype(), added.dtype(), "add_positions", [&]<class X, class P>(X, P) {
    if (y.is_meta()) return;
    add_positions_forward(s[0] * s[1], static_cast<std::size_t>(s[1]), static_cast<std::size_t>(s[2]),
                          x.value().data<X>(), added.data<P>(), y.data<X>());
  });
  return record(y, {x}, [node = x.node()](const Tensor& dy) { pass_gradient(node, dy); });
}

Variable gather_tokens(const Variable& x, const Tensor& keep) {
  return choose(x, keep, false, "gather_tokens");
}
Variable restore_tokens(const Variable& x, const Tensor& restore) {
  return choose(x, restore, true, "restore_tokens");
}

Variable mean_tokens(const Variable& x, DType result_type) {
  const Shape& s = x.shape();
  require(s.rank() == 3 && s[1] > 0, "mean_tokens", "x must be [batch, tokens, width] with some tokens", s);
  const RowChoice rows{static_cast<std::size_t>(s[0]), static_cast<std::size_t>(s[1]), 1,
                       static_cast<std::size_t>(s[2])};
  Tensor y = Tensor::empty({s[0], s[2]}, result_type);
  dispatch_pair(x.dtype(), result_type, "mean_tokens", [&]<class X, class Y>(X, Y) {
    if (!y.is_meta()) mean_forward(rows, x.value().data<X>(), y.data<Y>());
  });
  return record(y, {x}, [node = x.node(), rows, type = x.dtype()](const Tensor& dy) {
    const TypedSlot slot(node, type);
    if (!slot || dy.is_meta()) return;
    dispatch_pair(type, dy.dtype(), "mean_tokens", [&]<class X, class Y>(X, Y) {
      dispatch_flag(slot.accumulate(),
                    [&](auto add) { mean_backward<add()>(rows, dy.data<Y>(), slot.data<X>()); });
    });
    slot.commit();
  });
}

}  // namespace tessera::ops
