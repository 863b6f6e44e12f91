#pragma once
// Invariant: a Tensor is contiguous, row-major memory of one element type in MemorySpace (tensor/space.hpp),
// or a shape without memory ("meta"). Copying a Tensor shares the memory; views are reshapes and slices of
// the outermost extent, so they stay contiguous.

#include <cstddef>
#include <memory>
#include <vector>

#include "tensor/dtype.hpp"
#include "tensor/shape.hpp"

namespace tessera {

class Tensor {
 public:
  Tensor() = default;  ///< undefined: no shape, no memory

  /// Uninitialised memory; a meta tensor inside a MetaScope. @throws Error when memory runs out.
  static Tensor empty(const Shape& shape, DType type);
  static Tensor zeros(const Shape& shape, DType type);
  static Tensor meta(const Shape& shape, DType type);
  /// A view of host memory that somebody else owns; `owner` is kept alive as long as the tensor.
  /// @throws Error in a build whose kernels run on a GPU.
  static Tensor wrap(void* data, const Shape& shape, DType type, std::shared_ptr<void> owner = {});
  /// A copy of host values. @throws Error when the count does not match the shape.
  template <class T>
  static Tensor from_host(const std::vector<T>& values, const Shape& shape) {
    return from_host(values.data(), values.size(), shape, dtype_of<T>);
  }

  [[nodiscard]] bool defined() const { return defined_; }
  [[nodiscard]] bool is_meta() const { return defined_ && data_ == nullptr; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] std::int64_t numel() const { return shape_.numel(); }
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype_); }
  [[nodiscard]] void* raw() const { return data_; }
  /// @throws Error when T is not the element type.
  template <class T>
  [[nodiscard]] T* data() const {
    expect_dtype(dtype_of<T>);
    return static_cast<T*>(data_);
  }

  /// The same elements under another shape. @throws Error when the counts differ.
  [[nodiscard]] Tensor view(const Shape& shape) const;
  /// Elements [begin, end) of the outermost extent.
  [[nodiscard]] Tensor slice(std::int64_t begin, std::int64_t end) const;

  void fill_zero() const;
  /// Copies the elements of a tensor of the same type and count.
  void copy_from(const Tensor& source) const;
  template <class T>
  [[nodiscard]] std::vector<T> to_host() const {
    std::vector<T> values(static_cast<std::size_t>(numel()));
    expect_dtype(dtype_of<T>);
    copy_to_host(values.data());
    return values;
  }
  /// Copies bytes() bytes from or to ordinary host memory.
  void copy_from_host(const void* source) const;
  void copy_to_host(void* destination) const;

 private:
  static Tensor from_host(const void* values, std::size_t count, const Shape& shape, DType type);
  void expect_dtype(DType type) const;

  Shape shape_;
  DType dtype_ = DType::f32;
  bool defined_ = false;
  void* data_ = nullptr;
  std::shared_ptr<void> owner_;
};

/// For operations that reach into tensors by pointers of the host.
/// @throws Error, saying that `what` has no implementation for GPUs, where tensors lie in a GPU's memory.
void expect_host_memory(const char* what);

/// While one lives on a thread, Tensor::empty and Tensor::zeros make meta tensors there, so that the real
/// model code runs on shapes alone.
class MetaScope {
 public:
  MetaScope();
  ~MetaScope();
  MetaScope(const MetaScope&) = delete;
  MetaScope& operator=(const MetaScope&) = delete;
  [[nodiscard]] static bool active();

 private:
  bool previous_;
};

/// Bytes held by tensors that own memory, now and at most since the last reset.
struct MemoryStatistics {
  std::size_t current = 0;
  std::size_t peak = 0;
};
[[nodiscard]] MemoryStatistics memory_statistics();
void reset_peak_memory();

}  // namespace tessera
