#pragma once
// Invariant: every call into HDF5 happens here, on the main thread (the parallel library is not thread-safe),
// and every failure becomes an Error naming the file, the object in it and HDF5's own reason; HDF5 itself
// prints nothing. Files are written in the oldest format (readable by HDF5 1.8 and later); data sets are
// contiguous, allocated when created (a full disk fails early) and never filled, so that their bytes can be
// moved with File::read_at and File::write_at at Hdf5Dataset::extent, from any thread.
// Objects are named by path ("/latents/32"); attributes of the file itself belong to "/".

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/file.hpp"

namespace tessera::io {

/// What an element of a data set is, little-endian. bf16 and f16 are HDF5 floating types of two bytes;
/// `other` (compound, big-endian, ...) can only be listed.
enum class StoredType : std::uint8_t { f64, f32, f16, bf16, i64, i32, u64, u32, u16, u8, string, other };

/// Bytes per element; 0 for string and other.
[[nodiscard]] std::size_t size_of(StoredType type);
[[nodiscard]] const char* name_of(StoredType type);

template <class T>
inline constexpr StoredType stored_type_of = StoredType::other;
template <>
inline constexpr StoredType stored_type_of<double> = StoredType::f64;
template <>
inline constexpr StoredType stored_type_of<float> = StoredType::f32;
template <>
inline constexpr StoredType stored_type_of<std::int64_t> = StoredType::i64;
template <>
inline constexpr StoredType stored_type_of<std::int32_t> = StoredType::i32;
template <>
inline constexpr StoredType stored_type_of<std::uint64_t> = StoredType::u64;
template <>
inline constexpr StoredType stored_type_of<std::uint32_t> = StoredType::u32;
template <>
inline constexpr StoredType stored_type_of<std::uint16_t> = StoredType::u16;
template <>
inline constexpr StoredType stored_type_of<std::uint8_t> = StoredType::u8;

struct Hdf5Dataset {
  StoredType type = StoredType::other;
  std::vector<std::uint64_t> shape;
  std::uint64_t elements = 0;
  /// Where the bytes lie in the file, checked against the file's real size; none for chunked or compressed
  /// data, which only Hdf5File::read can fetch. {0, 0} when there are no elements.
  std::optional<Extent> extent;
};

enum class Hdf5Access : std::uint8_t { read_only, read_write };

struct Hdf5Layout {
  /// Bytes before the HDF5 content, free for the caller: 0 or a power of two from 512 on (see file_seal.hpp).
  std::uint64_t user_block = 0;
  /// Data sets of this many bytes or more start at a multiple of it (counted from the end of the user block,
  /// whose size is its upper limit).
  std::uint64_t alignment = 4096;
};

class Hdf5File {
 public:
  Hdf5File() = default;
  ~Hdf5File();
  Hdf5File(Hdf5File&& other) noexcept { swap(other); }
  Hdf5File& operator=(Hdf5File&& other) noexcept {
    swap(other);
    return *this;
  }
  Hdf5File(const Hdf5File&) = delete;
  Hdf5File& operator=(const Hdf5File&) = delete;

  /// Creates the file, or empties the one that is there.
  [[nodiscard]] static Hdf5File create(const std::string& path, const Hdf5Layout& layout = {});
  /// @throws Error when the file is missing, truncated, not HDF5, or open elsewhere for writing.
  [[nodiscard]] static Hdf5File open(const std::string& path, Hdf5Access access = Hdf5Access::read_only);
  void flush();
  /// Closes and reports failures; the destructor closes silently.
  void close();
  [[nodiscard]] const std::string& path() const { return path_; }

  /// Makes a group and its parents; one that exists is fine.
  void create_group(const std::string& group);
  /// Makes a contiguous data set (and its parent groups); its content is undefined until written.
  Extent create_dataset(const std::string& dataset, StoredType type, std::span<const std::uint64_t> shape);
  [[nodiscard]] bool exists(const std::string& object) const;
  [[nodiscard]] bool is_dataset(const std::string& object) const;
  /// Names of what a group holds, sorted by name.
  [[nodiscard]] std::vector<std::string> members(const std::string& group = "/") const;
  /// Paths of all data sets at or below a group, in depth-first order, sorted by name in each group.
  [[nodiscard]] std::vector<std::string> datasets(const std::string& group = "/") const;
  [[nodiscard]] Hdf5Dataset dataset(const std::string& dataset) const;

  /// Moves a whole data set, converting between `memory` and the stored type where they differ (slow for f16
  /// and bf16: move those with File and convert yourself).
  void write(const std::string& dataset, StoredType memory, const void* from);
  void read(const std::string& dataset, StoredType memory, void* to) const;
  template <class T>
  [[nodiscard]] std::vector<T> read(const std::string& name) const {
    std::vector<T> values(dataset(name).elements);
    read(name, stored_type_of<T>, values.data());
    return values;
  }
  /// Creates and writes a one-dimensional data set of variable-length UTF-8 strings.
  void write_strings(const std::string& dataset, std::span<const std::string> values);
  [[nodiscard]] std::vector<std::string> read_strings(const std::string& dataset) const;

  /// Sets an attribute of a file ("/"), group or data set; replaces one of the same name.
  void set_attribute(const std::string& object, const std::string& name, std::string_view value);
  void set_attribute(const std::string& object, const std::string& name, const char* value) {
    set_attribute(object, name, std::string_view(value));
  }
  void set_attribute(const std::string& object, const std::string& name, std::int64_t value);
  void set_attribute(const std::string& object, const std::string& name, double value);
  /// One-dimensional; at most 8,000 values (HDF5 keeps attributes below 64 KiB).
  void set_attribute(const std::string& object, const std::string& name,
                     std::span<const std::int64_t> values);
  void set_attribute(const std::string& object, const std::string& name, std::span<const double> values);

  [[nodiscard]] bool has_attribute(const std::string& object, const std::string& name) const;
  [[nodiscard]] std::vector<std::string> attribute_names(const std::string& object) const;
  /// @throws Error when the attribute is missing or of another kind.
  [[nodiscard]] std::string string_attribute(const std::string& object, const std::string& name) const;
  [[nodiscard]] std::int64_t integer_attribute(const std::string& object, const std::string& name) const;
  [[nodiscard]] double number_attribute(const std::string& object, const std::string& name) const;
  [[nodiscard]] std::vector<std::int64_t> integers_attribute(const std::string& object,
                                                             const std::string& name) const;
  [[nodiscard]] std::vector<double> numbers_attribute(const std::string& object,
                                                      const std::string& name) const;

  void swap(Hdf5File& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(path_, other.path_);
  }

 private:
  std::int64_t id_ = -1;
  std::string path_;
};

}  // namespace tessera::io
