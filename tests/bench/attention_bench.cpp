// Attention on packed projections, as the model's layers leave them, on one thread: the tenth percentile of
// many timed passes per shape, beside the speed of a large matrix product on the same core. Prints JSON.
//   attention_bench [seconds per measurement, default 0.3]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <random>
#include <vector>

#include "compute/attention.hpp"
#include "compute/matmul.hpp"
#include "compute/row_norm.hpp"
#include "compute/runtime.hpp"

namespace {

using namespace tessera;
using namespace tessera::compute;

double seconds_per_run = 0.3;

double seconds_of(const std::function<void()>& body) {
  // The thread's own time: passes of a millisecond then compare even when other programs run beside this one.
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  body();
  std::vector<double> times;
  const double end = now() + seconds_per_run;
  for (double start = now(); start < end;) {
    body();
    const double stop = now();
    times.push_back(stop - start);
    start = stop;
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 10];
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

double matmul_speed(DType type) {
  constexpr std::int64_t n = 512;
  const Tensor a = random({n, n}, type), b = random({n, n}, type), c = random({n, n}, type);
  const double time = seconds_of(
      [&] { matmul(as_matrix(a), Transpose::no, as_matrix(b), Transpose::no, as_matrix(c), 1, false); });
  return 2.0 * n * n * n / time * 1e-9;
}

struct Case {
  std::int64_t queries, keys, head_dim;
};

void measure(const Case& item, DType type, double peak, bool last) {
  constexpr std::int64_t heads = 8;
  const std::int64_t width = heads * item.head_dim;
  const double pair_flops = 2.0 * heads * static_cast<double>(item.queries * item.keys * item.head_dim);
  const auto batch = std::max<std::int64_t>(1, static_cast<std::int64_t>(4e7 / pair_flops));
  const AttentionShape shape{batch,     heads,         item.queries,
                             item.keys, item.head_dim, 1 / std::sqrt(static_cast<double>(item.head_dim))};
  // Self-attention reads thirds of one projection, cross-attention its own queries and halves of another.
  const bool self = item.queries == item.keys;
  const std::int64_t q_stride = self ? 3 * width : width;
  const std::int64_t kv_stride = self ? 3 * width : 2 * width;
  const Tensor q = random({batch, item.queries, q_stride}, type);
  const Tensor kv = self ? q : random({batch, item.keys, kv_stride}, type);
  const Tensor dq = random(q.shape(), type), dkv = self ? dq : random(kv.shape(), type);
  const Tensor out = random({batch, item.queries, width}, type), gradient = random(out.shape(), type);
  const Tensor lse =
      Tensor::empty({batch, heads, item.queries}, type == DType::f64 ? DType::f64 : DType::f32);
  const std::int64_t k_at = self ? width : 0;
  const auto tokens = [](const Tensor& t, std::int64_t stride, std::int64_t at) {
    return Tokens{&t, stride, at};
  };
  const double forward = seconds_of([&] {
    attention_forward(shape, tokens(q, q_stride, 0), tokens(kv, kv_stride, k_at),
                      tokens(kv, kv_stride, k_at + width), tokens(out, width, 0), lse);
  });
  const double backward = seconds_of([&] {
    attention_backward(shape, tokens(q, q_stride, 0), tokens(kv, kv_stride, k_at),
                       tokens(kv, kv_stride, k_at + width), tokens(out, width, 0), lse,
                       tokens(gradient, width, 0), tokens(dq, q_stride, 0), tokens(dkv, kv_stride, k_at),
                       tokens(dkv, kv_stride, k_at + width));
  });
  const double flops = static_cast<double>(batch) * pair_flops;
  const double forward_speed = 2 * flops / forward * 1e-9;
  const double backward_speed = 5 * flops / backward * 1e-9;
  std::printf(
      "    {\"type\": \"%s\", \"queries\": %ld, \"keys\": %ld, \"head_dim\": %ld, \"batch\": %ld, \"heads\": "
      "%ld,\n"
      "     \"forward_us\": %.1f, \"forward_gflops\": %.1f, \"forward_of_matmul\": %.2f,\n"
      "     \"backward_us\": %.1f, \"backward_gflops\": %.1f, \"backward_of_matmul\": %.2f}%s\n",
      name_of(type), static_cast<long>(item.queries), static_cast<long>(item.keys),
      static_cast<long>(item.head_dim), static_cast<long>(batch), static_cast<long>(heads), forward * 1e6,
      forward_speed, forward_speed / peak, backward * 1e6, backward_speed, backward_speed / peak,
      last ? "" : ",");
}

void measure_norm(std::int64_t rows, std::int64_t width, DType type, bool last) {
  const Tensor x = random({rows, 3 * width}, type), dy = random({rows, 3 * width}, type);
  const Tensor mean = Tensor::empty({rows}, DType::f32), rstd = Tensor::empty({rows}, DType::f32);
  const RowNormShape shape{rows, width, 1e-6};
  const Rows x_rows{&x, 3 * width, 0}, dy_rows{&dy, 3 * width, 0};
  const double statistics = seconds_of([&] { row_statistics(shape, x_rows, mean, rstd); });
  const double backward = seconds_of([&] { row_norm_backward(shape, x_rows, mean, rstd, dy_rows, dy_rows); });
  const double elements = static_cast<double>(rows * width);
  std::printf(
      "    {\"type\": \"%s\", \"rows\": %ld, \"width\": %ld, \"statistics_ps_per_element\": %.0f, "
      "\"backward_ps_per_element\": %.0f}%s\n",
      name_of(type), static_cast<long>(rows), static_cast<long>(width), statistics / elements * 1e12,
      backward / elements * 1e12, last ? "" : ",");
}

}  // namespace

int main(int argc, char** argv) {
  const Runtime runtime;
  if (argc > 1) seconds_per_run = std::atof(argv[1]);
  set_matmul_threads(1);
  const Case cases[] = {{64, 64, 32}, {256, 256, 32}, {256, 77, 32},    {64, 77, 32},
                        {77, 77, 64}, {256, 256, 64}, {1024, 1024, 64}, {256, 120, 72}};
  const DType types[] = {DType::f32, DType::bf16};
  std::printf("{\n");
  double peaks[2];
  for (int i = 0; i < 2; ++i) {
    peaks[i] = matmul_speed(types[i]);
    std::printf("  \"matmul_%s_gflops\": %.1f,\n", name_of(types[i]), peaks[i]);
  }
  std::printf("  \"attention\": [\n");
  for (int i = 0; i < 2; ++i) {
    for (const Case& item : cases) measure(item, types[i], peaks[i], i == 1 && &item == std::end(cases) - 1);
  }
  std::printf("  ],\n  \"row_norm\": [\n");
  measure_norm(256, 512, DType::f32, false);
  measure_norm(32, 512, DType::f32, false);
  measure_norm(32, 512, DType::bf16, true);
  std::printf("  ]\n}\n");
  return 0;
}
