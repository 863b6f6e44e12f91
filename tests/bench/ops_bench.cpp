// Memory-bound operations of a transformer block on one thread: bytes that must move (inputs read once,
// results written once) per second, beside a plain copy of as many bytes. Prints JSON.
//   ops_bench [seconds per measurement, default 0.2] [width, default 512]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "compute/runtime.hpp"
#include "ops/accumulate.hpp"
#include "ops/elementwise.hpp"
#include "ops/norm.hpp"
#include "ops/residual.hpp"
#include "tensor/allocator.hpp"

namespace {

using namespace tessera;
using ops::Variable;

double seconds_per_run = 0.2;

/// The thread's own time, so that other programs on the machine disturb a measurement less.
double now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Best time of `timed`, each run preceded by an untimed `prepare`.
double best_seconds(const std::function<void()>& prepare, const std::function<void()>& timed) {
  double best = 1e30;
  const double end = now() + seconds_per_run;
  do {
    prepare();
    const double start = now();
    timed();
    best = std::min(best, now() - start);
  } while (now() < end);
  return best;
}

Tensor filled(const Shape& shape, DType type) {
  std::mt19937 generator(7);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (float& value : values) value = normal(generator);
  return ops::converted(Tensor::from_host(values, shape), type);
}

double copy_bandwidth(std::size_t bytes) {
  const auto count = static_cast<std::int64_t>(bytes / 2);
  const Tensor from = Tensor::zeros({count}, DType::u8);
  const Tensor to = Tensor::zeros({count}, DType::u8);
  return static_cast<double>(bytes) / 1e9 /
         best_seconds([] {}, [&] { std::memcpy(to.raw(), from.raw(), bytes / 2); });
}

bool first_row = true;

void report(const char* name, const char* pass, const char* type, const Shape& shape, std::size_t bytes,
            double seconds) {
  const double speed = static_cast<double>(bytes) / 1e9 / seconds;
  const double copy = copy_bandwidth(bytes);
  std::printf(
      "%s\n    {\"operation\": \"%s\", \"pass\": \"%s\", \"type\": \"%s\", \"shape\": %s, \"microseconds\": "
      "%.1f, "
      "\"gigabytes_per_second\": %.1f, \"copy_gigabytes_per_second\": %.1f, \"of_copy\": %.2f}",
      first_row ? "" : ",", name, pass, type, shape.to_string().c_str(), 1e6 * seconds, speed, copy,
      speed / copy);
  first_row = false;
}

using Operation = std::function<Variable(const std::vector<Variable>&)>;

/// Times forward, and backward into fresh gradients of every input. Bytes: `forward_bytes` as given;
/// backward reads the result's gradient and `saved_bytes` and writes a gradient for each of `large` inputs.
void measure(const char* name, const Operation& operation, const std::vector<Tensor>& inputs,
             std::size_t large, std::size_t saved_bytes, const char* type) {
  std::vector<Variable> leaves;
  std::size_t read = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    leaves.push_back(Variable::leaf(inputs[i], Tensor::empty(inputs[i].shape(), inputs[i].dtype())));
    if (i < large) read += inputs[i].bytes();
  }
  Variable y;
  const double forward = best_seconds([&] { y = {}; }, [&] { y = operation(leaves); });
  const std::size_t written = y.value().bytes();
  report(name, "forward", type, inputs[0].shape(), read + written, forward);
  Tensor seed = filled(y.shape(), y.dtype());
  const double backward = best_seconds(
      [&] {
        for (const Variable& leaf : leaves) leaf.node()->clear_gradient();
        y = operation(leaves);
      },
      [&] { ops::backward(y, seed); });
  report(name, "backward", type, inputs[0].shape(), written + saved_bytes + read, backward);
}

void measure_type(std::int64_t images, std::int64_t tokens, std::int64_t width, DType stream, DType compute,
                  const char* type) {
  const Shape shape{images, tokens, width};
  const Tensor x = filled(shape, stream);
  const Tensor h = filled(shape, compute);
  const Tensor gain = filled({width}, DType::f32);
  const Tensor modulation = filled({images, 6, width}, DType::f32);
  const auto layer_norm = [&](const std::vector<Variable>& in) {
    return ops::layer_norm(in[0], in[1], 1e-6, compute);
  };
  const auto modulated = [&](const std::vector<Variable>& in) {
    return ops::modulated_layer_norm(in[0], in[1], in[2], 0, 1, 1e-6, compute);
  };
  measure("layer_norm", layer_norm, {x, gain}, 1, x.bytes(), type);
  measure("modulated_layer_norm", modulated, {x, gain, modulation}, 1, x.bytes(), type);
  measure(
      "gated_residual",
      [](const std::vector<Variable>& in) { return ops::gated_residual(in[0], in[1], in[2], 2); },
      {x, h, modulation}, 2, h.bytes(), type);
  measure(
      "swiglu", [](const std::vector<Variable>& in) { return ops::swiglu(in[0], in[1]); }, {h, h}, 2,
      2 * h.bytes(), type);
  measure(
      "gelu_tanh", [](const std::vector<Variable>& in) { return ops::gelu_tanh(in[0]); }, {h}, 1, h.bytes(),
      type);
  measure(
      "gelu_erf", [](const std::vector<Variable>& in) { return ops::gelu_erf(in[0]); }, {h}, 1, h.bytes(),
      type);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) seconds_per_run = std::atof(argv[1]);
  const std::int64_t width = argc > 2 ? std::atoll(argv[2]) : 512;
  keep_freed_memory();
  const Runtime runtime;
  std::printf("{\"operations\": [");
  for (const std::int64_t images : {8, 32}) {
    measure_type(images, 64, width, DType::f32, DType::f32, "float32");
    measure_type(images, 64, width, DType::f32, DType::bf16, "bfloat16");
  }
  std::printf("\n]}\n");
  return 0;
}
