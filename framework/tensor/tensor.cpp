#include "tensor/tensor.hpp"

#include <atomic>
#include <cstring>
#include <string>

#include "tensor/allocator.hpp"
#include "tensor/meta_memory.hpp"
#include "tensor/space.hpp"

namespace tessera {
namespace {

thread_local bool meta_active = false;
std::atomic<std::size_t> meta_bytes{0};
std::atomic<std::size_t> meta_peak{0};

/// An owner of nothing that counts `bytes` while it lives.
std::shared_ptr<void> count_meta(std::size_t bytes) {
  const std::size_t now = meta_bytes.fetch_add(bytes) + bytes;
  std::size_t peak = meta_peak.load();
  while (now > peak && !meta_peak.compare_exchange_weak(peak, now)) {
  }
  return {static_cast<void*>(nullptr), [bytes](void*) { meta_bytes.fetch_sub(bytes); }};
}

using HostBytes = Kokkos::View<char*, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
using DeviceBytes = Kokkos::View<char*, MemorySpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

}  // namespace

MetaScope::MetaScope() : previous_(meta_active) { meta_active = true; }
MetaScope::~MetaScope() { meta_active = previous_; }
bool MetaScope::active() { return meta_active; }

MemoryStatistics meta_memory_statistics() { return {meta_bytes.load(), meta_peak.load()}; }
void reset_peak_meta_memory() { meta_peak.store(meta_bytes.load()); }

Tensor Tensor::meta(const Shape& shape, DType type) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.dtype_ = type;
  tensor.defined_ = true;
  return tensor;
}

Tensor Tensor::empty(const Shape& shape, DType type) {
  Tensor tensor = meta(shape, type);
  if (meta_active) {
    tensor.owner_ = count_meta(tensor.bytes());
    return tensor;
  }
  tensor.owner_ = allocate_bytes(tensor.bytes());
  tensor.data_ = tensor.owner_.get();
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType type) {
  Tensor tensor = empty(shape, type);
  tensor.fill_zero();
  return tensor;
}

Tensor Tensor::wrap(void* data, const Shape& shape, DType type, std::shared_ptr<void> owner) {
  expect_host_memory("keeping tensors in the memory of the host");
  Tensor tensor = meta(shape, type);
  tensor.data_ = data;
  tensor.owner_ = std::move(owner);
  return tensor;
}

Tensor Tensor::from_host(const void* values, std::size_t count, const Shape& shape, DType type) {
  if (static_cast<std::int64_t>(count) != shape.numel()) {
    throw Error(std::to_string(count) + " values do not fill the shape " + shape.to_string());
  }
  Tensor tensor = empty(shape, type);
  tensor.copy_from_host(values);
  return tensor;
}

Tensor Tensor::view(const Shape& shape) const {
  if (shape.numel() != numel()) {
    throw Error("cannot view the shape " + shape_.to_string() + " as " + shape.to_string());
  }
  Tensor other = *this;
  other.shape_ = shape;
  return other;
}

Tensor Tensor::slice(std::int64_t begin, std::int64_t end) const {
  if (shape_.rank() == 0 || begin < 0 || end < begin || end > shape_[0]) {
    throw Error("slice [" + std::to_string(begin) + ", " + std::to_string(end) + ") leaves the shape " +
                shape_.to_string());
  }
  Shape sliced;
  sliced.append(end - begin);
  std::int64_t inner = 1;
  for (std::size_t i = 1; i < shape_.rank(); ++i) {
    sliced.append(shape_[static_cast<int>(i)]);
    inner *= shape_[static_cast<int>(i)];
  }
  Tensor other = *this;
  other.shape_ = sliced;
  if (data_ != nullptr) {
    other.data_ = static_cast<char*>(data_) + static_cast<std::size_t>(begin * inner) * size_of(dtype_);
  }
  return other;
}

void Tensor::fill_zero() const {
  if (data_ == nullptr) return;
  Kokkos::deep_copy(ExecutionSpace(), DeviceBytes(static_cast<char*>(data_), bytes()), char(0));
}

void Tensor::copy_from(const Tensor& source) const {
  if (source.dtype_ != dtype_ || source.numel() != numel()) {
    throw Error(std::string("cannot copy ") + source.shape_.to_string() + " " + name_of(source.dtype_) +
                " to " + shape_.to_string() + " " + name_of(dtype_));
  }
  if (data_ == nullptr || source.data_ == nullptr) return;
  Kokkos::deep_copy(ExecutionSpace(), DeviceBytes(static_cast<char*>(data_), bytes()),
                    DeviceBytes(static_cast<char*>(source.data_), bytes()));
}

void Tensor::copy_from_host(const void* source) const {
  if (data_ == nullptr) return;
  // Kokkos has no view of constant bytes for deep_copy's source of another constness; the source is only
  // read.
  HostBytes host(const_cast<char*>(static_cast<const char*>(source)), bytes());
  Kokkos::deep_copy(DeviceBytes(static_cast<char*>(data_), bytes()), host);
}

void Tensor::copy_to_host(void* destination) const {
  if (data_ == nullptr) throw Error("a tensor without memory has no values, shape " + shape_.to_string());
  Kokkos::deep_copy(HostBytes(static_cast<char*>(destination), bytes()),
                    DeviceBytes(static_cast<char*>(data_), bytes()));
}

void expect_host_memory(const char* what) {
  if constexpr (!Kokkos::SpaceAccessibility<Kokkos::HostSpace, MemorySpace>::accessible) {
    throw Error(std::string(what) + " has no implementation for GPUs yet", {},
                "compute on CPUs, with a build of the preset 'host'");
  }
}

void Tensor::expect_dtype(DType type) const {
  if (!defined_) throw Error("an undefined tensor was used");
  if (type != dtype_) {
    throw Error(std::string("a tensor of ") + name_of(dtype_) + " was read as " + name_of(type));
  }
}

}  // namespace tessera
