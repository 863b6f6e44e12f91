// The matrix products of MicroDiT Tiny (width 512, hidden 256 to 2048; 64 or 256 tokens of 8 images) on one
// thread: speed and serving implementation per pass and type, beside the core's peak for float32
// multiply-adds. Prints JSON.
//   matmul_bench [seconds per measurement, default 0.3]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "compute/matmul.hpp"
#include "compute/matmul_onednn.hpp"
#include "compute/runtime.hpp"
#include "tensor/allocator.hpp"

namespace {

using namespace tessera;
using namespace tessera::compute;

double seconds_per_run = 0.3;
volatile float sink;

/// The thread's own time, so that other programs on the machine disturb a measurement less.
double now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// The shortest time of a call; calls are timed in groups of about a millisecond, which the clock resolves.
double best_seconds(const std::function<void()>& body) {
  body();
  int group = 1;
  double best = 1e30;
  const double end = now() + seconds_per_run;
  do {
    const double start = now();
    for (int i = 0; i < group; ++i) body();
    const double time = (now() - start) / group;
    best = std::min(best, time);
    if (time * group < 1e-3) {
      group *= 2;
      best = 1e30;
    }
  } while (now() < end);
  return best;
}

/// Independent multiply-adds on 16 vectors of 16 floats, more than enough to hide their latency.
double peak_gflops() {
  using Vector = float __attribute__((vector_size(64)));
  constexpr int vectors = 16;
  constexpr int rounds = 10000;
  const double time = best_seconds([] {
    Vector sums[vectors];
    for (int i = 0; i < vectors; ++i) sums[i] = Vector{} + static_cast<float>(i);
    const Vector scale = Vector{} + 0.999F;
    const Vector shift = Vector{} + 0.001F;
    for (int r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
      for (int i = 0; i < vectors; ++i) sums[i] = sums[i] * scale + shift;
    }
    for (const Vector& sum : sums) sink = sum[0];
  });
  return 2.0 * 16 * vectors * rounds / time * 1e-9;
}

Tensor random(const Shape& shape, DType type) {
  std::mt19937 generator(7);
  std::normal_distribution<float> normal;
  return dispatch_floating(type, [&]<class T>(T) {
    std::vector<T> values(static_cast<std::size_t>(shape.numel()));
    for (T& value : values) value = T(static_cast<arithmetic_t<T>>(normal(generator)));
    return Tensor::from_host(values, shape);
  });
}

struct Product {
  const char* pass;
  std::int64_t batch, m, n, k;
  bool transpose_a, transpose_b, accumulate, bias;
  DType in, out;
};

void measure(const Product& p, double peak, bool last) {
  const Tensor a = random({p.batch, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k}, p.in);
  const Tensor b = random({p.batch, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n}, p.in);
  const Tensor c = random({p.batch, p.m, p.n}, p.out);
  const Tensor bias = p.bias ? random({p.n}, DType::f32) : Tensor();
  const auto matrices = [&](const Tensor& x) {
    const Shape& s = x.shape();
    return Matrices{&x, s[1], s[2], s[2], p.batch > 1 ? s[1] * s[2] : 0, 0};
  };
  const double time = best_seconds([&] {
    matmul(matrices(a), Transpose{p.transpose_a}, matrices(b), Transpose{p.transpose_b}, matrices(c), p.batch,
           p.accumulate, bias);
  });
  const bool emulated = p.in == DType::bf16 && !onednn::multiplies_bf16();
  const DType in = emulated ? DType::f32 : p.in;
  const onednn::Product product{.batch = p.batch,
                                .m = p.m,
                                .n = p.n,
                                .k = p.k,
                                .a_row = matrices(a).row_stride,
                                .b_row = matrices(b).row_stride,
                                .c_row = p.n,
                                .a_batch = matrices(a).batch_stride,
                                .b_batch = matrices(b).batch_stride,
                                .c_batch = matrices(c).batch_stride,
                                .input_type = in,
                                .output_type = emulated ? DType::f32 : p.out,
                                .bias_type = DType::f32,
                                .has_bias = p.bias,
                                .transpose_a = p.transpose_a,
                                .transpose_b = p.transpose_b,
                                .accumulate = p.accumulate,
                                .threads = 0};
  const std::string served =
      onednn::prefers_blas(product) ? "OpenBLAS" : onednn::implementation_of(product, 1);
  const double speed = 2.0 * static_cast<double>(p.batch * p.m * p.n * p.k) / time * 1e-9;
  std::printf(
      "    {\"pass\": \"%s\", \"batch\": %lld, \"m\": %lld, \"n\": %lld, \"k\": %lld, \"types\": \"%s -> "
      "%s\", "
      "\"gflops\": %.1f, \"of_f32_peak\": %.2f, \"implementation\": \"%s%s\"}%s\n",
      p.pass, static_cast<long long>(p.batch), static_cast<long long>(p.m), static_cast<long long>(p.n),
      static_cast<long long>(p.k), name_of(p.in), name_of(p.out), speed, speed / peak, served.c_str(),
      emulated ? " on float32 copies" : "", last ? "" : ",");
}

/// The passes of a layer [out, in] on `tokens` rows, in the types of a run in `type`.
void add_layer(std::vector<Product>& products, std::int64_t groups, std::int64_t tokens, std::int64_t in,
               std::int64_t out, DType type) {
  const bool grouped = groups > 1;  // experts keep their weights [in, out]
  products.push_back({"forward", groups, tokens, out, in, false, !grouped, false, !grouped, type, type});
  products.push_back({"input gradient", groups, tokens, in, out, false, grouped, false, false, type, type});
  const std::int64_t rows = grouped ? in : out;
  const std::int64_t columns = grouped ? out : in;
  for (const bool accumulate : {false, true}) {
    products.push_back({accumulate ? "weight gradient, added" : "weight gradient", groups, rows, columns,
                        tokens, true, false, accumulate, false, type, DType::f32});
  }
}

void run() {
  const double peak = peak_gflops();
  const Tensor one = random({1, 16}, DType::f32);
  const Tensor weight = random({16, 16}, DType::f32);
  const Tensor result = random({1, 16}, DType::f32);
  const double small = best_seconds([&] {
    for (int i = 0; i < 1000; ++i) {
      matmul(as_matrix(one), Transpose::no, as_matrix(weight), Transpose::yes, as_matrix(result), 1, false);
    }
  });
  std::printf("{\n  \"peak_f32_gflops\": %.1f,\n  \"call_of_1x16x16_ns\": %.0f,\n  \"products\": [\n", peak,
              small * 1e6);
  std::vector<Product> products;
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const std::int64_t tokens : {8, 512, 2048}) {
      for (const auto& [in, out] : std::vector<std::pair<std::int64_t, std::int64_t>>{
               {512, 512}, {512, 1536}, {512, 256}, {512, 2048}, {2048, 512}}) {
        add_layer(products, 1, tokens, in, out, type);
      }
    }
    add_layer(products, 8, 128, 512, 1024, type);
    add_layer(products, 8, 512, 1024, 512, type);
  }
  for (std::size_t i = 0; i < products.size(); ++i) measure(products[i], peak, i + 1 == products.size());
  std::printf("  ]\n}\n");
}

}  // namespace

int main(int argc, char** argv) {
  const Runtime runtime;
  keep_freed_memory();
  if (argc > 1) seconds_per_run = std::strtod(argv[1], nullptr);
  run();
  return 0;
}
