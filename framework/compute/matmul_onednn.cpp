#include "compute/matmul_onednn.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <dnnl.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/error.hpp"
#include "tensor/shape.hpp"

// The runtime whose thread count matters is the one oneDNN was linked with; it is in the process whenever
// oneDNN is, under this name, and linking one of our own could bring in a second runtime.
extern "C" void omp_set_num_threads(int) __attribute__((weak));

namespace tessera::compute::onednn {
namespace {

using dnnl::memory;

struct ProductHash {
  std::size_t operator()(const Product& product) const {
    std::array<std::uint64_t, 11> words;
    std::memcpy(words.data(), &product, sizeof(words));
    std::uint64_t hash = 0;
    for (const std::uint64_t word : words) {
      hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
      hash ^= hash >> 29;
    }
    return hash;
  }
};

struct ProductEqual {
  bool operator()(const Product& a, const Product& b) const { return std::memcmp(&a, &b, sizeof(a)) == 0; }
};

/// Memory that grows to the largest need and stays.
class Scratch {
 public:
  void* reserve(std::size_t bytes) {
    if (bytes > size_) {
      constexpr std::size_t page = 4096;
      size_ = (bytes + page - 1) / page * page;
      memory_.reset(std::aligned_alloc(page, size_));
      if (memory_ == nullptr) throw Error("no memory left for the scratch of a matrix product");
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  std::size_t size_ = 0;
};

/// A primitive with the memory objects of its arguments, whose addresses are set before each run.
class Primitive {
 public:
  Primitive(const Product& product, const dnnl::engine& engine);
  void run(const dnnl::stream& stream, const void* a, const void* b, void* c, const void* bias,
           Scratch& scratch);
  [[nodiscard]] const char* implementation() const { return descriptor_.impl_info_str(); }

 private:
  dnnl::matmul::primitive_desc descriptor_;
  dnnl::matmul primitive_;
  memory a_, b_, c_, bias_, scratch_;
  std::size_t scratch_bytes_ = 0;
  std::array<dnnl_exec_arg_t, 5> arguments_{};
  int argument_count_ = 0;
};

memory::data_type type_of(DType type) {
  return type == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

/// Whether oneDNN's general matrix driver ("gemm:jit") is the faster one for a single product. Left alone it
/// takes the batch-reduce kernels ("brg") for every dense product; measured on AVX-512 at widths of 256 to
/// 2048, the general driver is faster for few rows (up to 2x), float32 without a transpose (up to 1.2x),
/// weight gradients of many tokens and sums into results larger than the cache (both up to 1.3x), and slower
/// elsewhere (down to 0.75x).
bool prefers_general_driver(const Product& product) {
  const bool short_type = product.input_type == DType::bf16;
  const bool large_sum = product.accumulate && product.m * product.n > 512 * 512 && product.k >= 64;
  if (product.transpose_a) return product.k >= 512 || large_sum;
  if (short_type) return product.m == 1 || large_sum;
  return product.m <= 8 || !product.transpose_b;
}

/// The descriptor of op(X) [rows, columns], batched or not. Strides of extents of one element never matter,
/// so they serve to choose the implementation: dense values lead to the batch-reduce kernels, a gap behind a
/// batch of one to the general driver.
memory::desc describe(const Product& product, std::int64_t rows, std::int64_t columns, bool transposed,
                      std::int64_t row_stride, std::int64_t batch_stride, DType type) {
  const std::int64_t stored_rows = transposed ? columns : rows;
  const std::int64_t stored_columns = transposed ? rows : columns;
  if (stored_rows == 1) row_stride = stored_columns;
  memory::dims extents{rows, columns};
  memory::dims strides{row_stride, 1};
  if (transposed) std::swap(strides[0], strides[1]);
  const std::int64_t dense = stored_rows * row_stride;
  if (product.batch > 1) {
    const bool shared = batch_stride == 0;
    extents.insert(extents.begin(), shared ? 1 : product.batch);
    strides.insert(strides.begin(), shared ? dense : batch_stride);
  } else if (prefers_general_driver(product)) {
    constexpr std::int64_t gap = 64;
    extents.insert(extents.begin(), 1);
    strides.insert(strides.begin(), dense + gap);
  }
  return {extents, type_of(type), strides};
}

dnnl::matmul::primitive_desc create(const Product& product, const dnnl::engine& engine) {
  const memory::desc a = describe(product, product.m, product.k, product.transpose_a, product.a_row,
                                  product.a_batch, product.input_type);
  const memory::desc b = describe(product, product.k, product.n, product.transpose_b, product.b_row,
                                  product.b_batch, product.input_type);
  const memory::desc c =
      describe(product, product.m, product.n, false, product.c_row, product.c_batch, product.output_type);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (product.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0F);
    attributes.set_post_ops(sum);
  }
  try {
    if (product.has_bias) {
      const memory::desc bias = describe(product, 1, product.n, false, product.n, 0, product.bias_type);
      return {dnnl::matmul::desc(a, b, bias, c), attributes, engine};
    }
    return {dnnl::matmul::desc(a, b, c), attributes, engine};
  } catch (const dnnl::error& failure) {
    throw Error("oneDNN cannot multiply " + Shape{product.m, product.k}.to_string() + " by " +
                Shape{product.k, product.n}.to_string() + " of " + name_of(product.input_type) + ": " +
                failure.what());
  }
}

Primitive::Primitive(const Product& product, const dnnl::engine& engine)
    : descriptor_(create(product, engine)), primitive_(descriptor_) {
  const auto add = [&](memory& object, const memory::desc& descriptor, int name) {
    object = memory(descriptor, engine, DNNL_MEMORY_NONE);
    arguments_[static_cast<std::size_t>(argument_count_++)] = {name, object.get()};
  };
  add(a_, descriptor_.src_desc(), DNNL_ARG_SRC);
  add(b_, descriptor_.weights_desc(), DNNL_ARG_WEIGHTS);
  add(c_, descriptor_.dst_desc(), DNNL_ARG_DST);
  if (product.has_bias) add(bias_, descriptor_.bias_desc(), DNNL_ARG_BIAS);
  scratch_bytes_ = descriptor_.scratchpad_desc().get_size();
  if (scratch_bytes_ > 0) add(scratch_, descriptor_.scratchpad_desc(), DNNL_ARG_SCRATCHPAD);
}

void Primitive::run(const dnnl::stream& stream, const void* a, const void* b, void* c, const void* bias,
                    Scratch& scratch) {
  // oneDNN takes every address as writable; it only reads these.
  a_.set_data_handle(const_cast<void*>(a));
  b_.set_data_handle(const_cast<void*>(b));
  c_.set_data_handle(c);
  if (bias != nullptr) bias_.set_data_handle(const_cast<void*>(bias));
  if (scratch_bytes_ > 0) scratch_.set_data_handle(scratch.reserve(scratch_bytes_));
  const dnnl_status_t status =
      dnnl_primitive_execute(primitive_.get(), stream.get(), argument_count_, arguments_.data());
  if (status != dnnl_success) {
    throw Error("a matrix product failed in oneDNN with status " + std::to_string(status));
  }
}

/// What one thread keeps between products.
struct State {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  Scratch scratch;
  std::unordered_map<Product, Primitive, ProductHash, ProductEqual> primitives;
  int threads = 0;

  Primitive& primitive(Product& product, int wanted_threads) {
    // A primitive plans its work for a thread count and must run with the same one; OpenMP's setting belongs
    // to the calling thread.
    if (threads != wanted_threads) {
      if (omp_set_num_threads != nullptr) omp_set_num_threads(wanted_threads);
      threads = wanted_threads;
    }
    product.threads = static_cast<std::uint8_t>(std::min(wanted_threads, 255));
    const auto found = primitives.find(product);
    if (found != primitives.end()) return found->second;
    // Ragged shapes could fill the memory in a long run; remaking a few primitives costs microseconds.
    constexpr std::size_t most = 4096;
    if (primitives.size() >= most) primitives.clear();
    return primitives.try_emplace(product, product, engine).first->second;
  }
};

bool has_instructions(dnnl::cpu_isa needed) {
  // Each set of instructions carries the bits of those it contains.
  const auto bits = static_cast<unsigned>(needed);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & bits) == bits;
}

State& state() {
  thread_local State kept;
  return kept;
}

}  // namespace

bool multiplies_bf16() {
  static const bool native = has_instructions(dnnl::cpu_isa::avx512_core_bf16);
  return native;
}

bool prefers_blas(const Product& product) {
  static const bool narrow = !has_instructions(dnnl::cpu_isa::avx512_core);
  return narrow && product.input_type == DType::f32 && !product.transpose_b && product.m > 8;
}

void multiply(Product product, const void* a, const void* b, void* c, const void* bias, int threads) {
  State& kept = state();
  if (product.batch == 1 || !prefers_general_driver(product)) {
    kept.primitive(product, threads).run(kept.stream, a, b, c, bias, kept.scratch);
    return;
  }
  const std::int64_t batch = std::exchange(product.batch, 1);
  const auto step = [&](std::int64_t& stride, DType type) {
    return std::exchange(stride, 0) * static_cast<std::int64_t>(size_of(type));
  };
  const std::int64_t a_step = step(product.a_batch, product.input_type);
  const std::int64_t b_step = step(product.b_batch, product.input_type);
  const std::int64_t c_step = step(product.c_batch, product.output_type);
  Primitive& primitive = kept.primitive(product, threads);
  for (std::int64_t i = 0; i < batch; ++i) {
    primitive.run(kept.stream, static_cast<const char*>(a) + i * a_step,
                  static_cast<const char*>(b) + i * b_step, static_cast<char*>(c) + i * c_step, bias,
                  kept.scratch);
  }
}

const char* implementation_of(Product product, int threads) {
  if (prefers_general_driver(product)) product.batch = 1;
  return state().primitive(product, threads).implementation();
}

}  // namespace tessera::compute::onednn
