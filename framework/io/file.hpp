#pragma once
// Invariant: every failure of the operating system on a file becomes an Error that names the path, what was
// being done, the system's own reason and a remedy; a short read or write never passes for a whole one, and a
// file under its final name is always complete (it is written beside that name, synced, then renamed).

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.hpp"

namespace tessera::io {

/// The Error for a failed system call. `action` completes "cannot ...": "cannot open it for reading".
[[nodiscard]] Error system_error(const std::string& path, const std::string& action, int error_number);

/// Bytes [offset, offset + bytes) of a file.
struct Extent {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  friend bool operator==(const Extent&, const Extent&) = default;
};

/// An open file: moves bytes at explicit offsets, so several threads may share one.
class File {
 public:
  File() = default;
  ~File();
  File(File&& other) noexcept { swap(other); }
  File& operator=(File&& other) noexcept {
    swap(other);
    return *this;
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  /// @throws Error when the path is missing, is not a regular file, or may not be read.
  [[nodiscard]] static File open_read(const std::string& path);
  /// Opens an existing file for reading and writing.
  [[nodiscard]] static File open_update(const std::string& path);
  /// Creates the file, or empties the one that is there.
  [[nodiscard]] static File create(const std::string& path);
  /// A nameless file on the disk of `folder`: it is gone when closed, whatever happens to the process.
  [[nodiscard]] static File scratch(const std::string& folder);

  /// Reads exactly `bytes` bytes. @throws Error on a failure, or when the file ends before that.
  void read_at(void* to, std::size_t bytes, std::uint64_t offset) const;
  /// Writes exactly `bytes` bytes. @throws Error, on a full disk too.
  void write_at(const void* from, std::size_t bytes, std::uint64_t offset) const;
  /// Takes the disk blocks of an extent now, so that later writes into it cannot find the disk full. Does
  /// nothing on file systems that cannot: taking them by writing would cost as much as the writes themselves.
  void reserve(Extent extent) const;
  /// Asks the system to forget what it keeps of a synced file in memory, so that reading fetches it from the
  /// disk.
  void drop_cached() const;
  /// Cuts the file off after so many bytes.
  void truncate(std::uint64_t bytes) const;
  void sync() const;
  /// Closes and reports what the system only says then; the destructor closes silently.
  void close();

  [[nodiscard]] std::uint64_t size() const;
  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] const std::string& path() const { return path_; }

  void swap(File& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(path_, other.path_);
  }

 private:
  File(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  static File open_with(const std::string& path, int flags, const char* action);
  int descriptor_ = -1;
  std::string path_;
};

/// A file's bytes in the address space, read-only. A file that another process cuts short while it is mapped
/// kills the reader (SIGBUS): map files that are only ever replaced whole, and use File::read_at otherwise.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] const std::uint8_t* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return bytes_; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Replaces a file as a whole or not at all: write to temporary_path(), then commit(). Without commit() the
/// destructor removes the temporary file and the old file stays.
class FileReplacement {
 public:
  /// @throws Error when the folder of `path` is missing or cannot be written.
  explicit FileReplacement(std::string path);
  ~FileReplacement();
  FileReplacement(const FileReplacement&) = delete;
  FileReplacement& operator=(const FileReplacement&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& temporary_path() const { return temporary_; }
  /// Syncs the temporary file, renames it to path(), syncs the folder. The file must be closed by then.
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  bool committed_ = false;
};

/// What changes when a file is written anew; the same stamp does not prove the same content.
struct FileStamp {
  std::uint64_t bytes = 0;
  std::int64_t modified = 0;  ///< nanoseconds
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};
/// Without opening the file. @throws Error when it is missing or no regular file.
[[nodiscard]] FileStamp stamp_of(const std::string& path);

/// Sees to it that this process may have `files` files open, raising its limit up to what the system allows.
/// @return how many it may have, perhaps fewer.
std::size_t allow_open_files(std::size_t files);

/// Writes a small file whole (FileReplacement inside).
void replace_file(const std::string& path, std::string_view content);
/// Reads a small file whole. @throws Error, also when it is larger than `limit` bytes.
[[nodiscard]] std::string read_file(const std::string& path, std::size_t limit = std::size_t{1} << 30);

/// Makes a folder and its parents; one that exists is fine.
void make_folders(const std::string& path);
/// Bytes that this user may still write on the disk holding `folder`.
[[nodiscard]] std::uint64_t free_space(const std::string& folder);
/// @throws Error when the disk holding `folder` has less than `bytes` left. `purpose` says what for.
void require_free_space(const std::string& folder, std::uint64_t bytes, const std::string& purpose);
/// The folder part of a path, "." when it has none.
[[nodiscard]] std::string folder_of(const std::string& path);
/// "12.3 MB", for messages.
[[nodiscard]] std::string readable_bytes(std::uint64_t bytes);

}  // namespace tessera::io
