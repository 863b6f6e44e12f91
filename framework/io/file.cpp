#include "io/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/activity.hpp"

namespace tessera::io {
namespace {

constexpr std::size_t kLargestCall = std::size_t{1} << 30;  // Linux moves at most 2 GiB - 4 KiB per call

std::string remedy_for(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return "Free space on that disk (`df -h` shows it), or choose a folder on another one.";
    case EFBIG:
      return "Raise the limit on the size of files (`ulimit -f unlimited`), or choose a file system that "
             "allows "
             "larger ones.";
    case EACCES:
    case EPERM:
      return "Check the owner and the permissions of the file and its folder (`ls -ld`), or choose another "
             "folder.";
    case EROFS:
      return "Choose a folder on a disk that is mounted for writing.";
    case ENOENT:
    case ENOTDIR:
      return "Check the spelling of the path and that its folder exists.";
    case EMFILE:
    case ENFILE:
      return "Raise the limit on open files (`ulimit -n 4096`).";
    case EIO:
      return "The disk reports a fault: look into `dmesg`, and restore the file from a copy.";
    case EISDIR:
      return "Name a file, not a folder.";
    default:
      return "See whether the path can be used by hand (`ls -l`), and try again.";
  }
}

int open_again(const char* path, int flags, mode_t mode) {
  int descriptor;
  do {
    descriptor = ::open(path, flags | O_CLOEXEC, mode);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

void sync_folder(const std::string& folder) {
  const int descriptor = open_again(folder.c_str(), O_RDONLY | O_DIRECTORY, 0);
  if (descriptor < 0) throw system_error(folder, "open the folder to sync it", errno);
  const int status = ::fsync(descriptor);
  const int reason = errno;
  ::close(descriptor);
  // Some network file systems cannot sync a folder; their rename is durable by itself.
  if (status != 0 && reason != EINVAL && reason != ENOTSUP)
    throw system_error(folder, "sync the folder", reason);
}

}  // namespace

Error system_error(const std::string& path, const std::string& action, int error_number) {
  return Error("cannot " + action + ": " + std::strerror(error_number) + ".", path, remedy_for(error_number));
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File File::open_with(const std::string& path, int flags, const char* action) {
  const int descriptor = open_again(path.c_str(), flags, 0666);
  if (descriptor < 0) throw system_error(path, action, errno);
  File file(descriptor, path);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) throw system_error(path, "examine it", errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error("this is not a regular file.", path, "Name a file, not a folder, pipe or device.");
  }
  return file;
}

// O_NONBLOCK has no effect on a regular file, and keeps a named pipe from blocking the open for ever.
File File::open_read(const std::string& path) {
  return open_with(path, O_RDONLY | O_NONBLOCK, "open it for reading");
}

File File::open_update(const std::string& path) {
  return open_with(path, O_RDWR | O_NONBLOCK, "open it for writing");
}

File File::create(const std::string& path) {
  return open_with(path, O_RDWR | O_CREAT | O_TRUNC | O_NONBLOCK, "create it");
}

File File::scratch(const std::string& folder) {
  int descriptor = open_again(folder.c_str(), O_RDWR | O_TMPFILE, 0600);
  if (descriptor >= 0) return File(descriptor, folder + "/(scratch file)");
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
    throw system_error(folder, "create a scratch file there", errno);
  }
  std::string name = folder + "/.tessera-scratch-XXXXXX";
  descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor < 0) throw system_error(folder, "create a scratch file there", errno);
  ::unlink(name.c_str());
  return File(descriptor, name);
}

void File::read_at(void* to, std::size_t bytes, std::uint64_t offset) const {
  auto* at = static_cast<char*>(to);
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t got = ::pread(descriptor_, at + done, std::min(bytes - done, kLargestCall),
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw system_error(path_, "read " + std::to_string(bytes) + " bytes at byte " + std::to_string(offset),
                         errno);
    }
    if (got == 0) {
      throw Error("the file ends at byte " + std::to_string(offset + done) + ", but bytes up to " +
                      std::to_string(offset + bytes) + " are needed: it is truncated.",
                  path_, "Copy or build the file again.");
    }
    done += static_cast<std::size_t>(got);
    beat();
  }
}

void File::write_at(const void* from, std::size_t bytes, std::uint64_t offset) const {
  const auto* at = static_cast<const char*>(from);
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t put = ::pwrite(descriptor_, at + done, std::min(bytes - done, kLargestCall),
                                 static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      throw system_error(path_, "write " + std::to_string(bytes) + " bytes at byte " + std::to_string(offset),
                         put == 0 ? ENOSPC : errno);
    }
    done += static_cast<std::size_t>(put);
    beat();
  }
}

void File::reserve(Extent extent) const {
  if (extent.bytes == 0) return;
  int status;
  do {
    // Not posix_fallocate: where the file system has no such call it writes a byte into every block.
    status = ::fallocate(descriptor_, 0, static_cast<off_t>(extent.offset), static_cast<off_t>(extent.bytes));
  } while (status != 0 && errno == EINTR);
  if (status != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
    throw system_error(path_, "reserve " + readable_bytes(extent.bytes) + " for it", errno);
  }
}

void File::drop_cached() const { (void)::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_DONTNEED); }

void File::truncate(std::uint64_t bytes) const {
  int status;
  do {
    status = ::ftruncate(descriptor_, static_cast<off_t>(bytes));
  } while (status != 0 && errno == EINTR);
  if (status != 0) throw system_error(path_, "cut it off after " + readable_bytes(bytes), errno);
}

void File::sync() const {
  if (::fsync(descriptor_) != 0) throw system_error(path_, "sync it to the disk", errno);
}

void File::close() {
  if (descriptor_ < 0) return;
  const int status = ::close(std::exchange(descriptor_, -1));
  if (status != 0 && errno != EINTR) throw system_error(path_, "close it", errno);
}

std::uint64_t File::size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) throw system_error(path_, "examine it", errno);
  return static_cast<std::uint64_t>(status.st_size);
}

MappedFile::MappedFile(const std::string& path) {
  const File file = File::open_read(path);
  bytes_ = file.size();
  if (bytes_ == 0) return;  // an empty mapping is an error to the system
  void* mapped = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (mapped == MAP_FAILED) throw system_error(path, "map it into memory", errno);
  data_ = static_cast<const std::uint8_t*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::uint8_t*>(data_), bytes_);
}

FileReplacement::FileReplacement(std::string path)
    : path_(std::move(path)), temporary_(path_ + ".tmp-" + std::to_string(::getpid())) {
  File::create(temporary_).close();
}

FileReplacement::~FileReplacement() {
  if (!committed_) ::unlink(temporary_.c_str());
}

void FileReplacement::commit() {
  File file = File::open_update(temporary_);
  file.sync();
  file.close();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    throw system_error(path_, "rename the finished file to this name", errno);
  }
  committed_ = true;
  sync_folder(folder_of(path_));
}

FileStamp stamp_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw system_error(path, "examine it", errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error("this is not a regular file.", path, "Name a file, not a folder, pipe or device.");
  }
  return {static_cast<std::uint64_t>(status.st_size),
          std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

std::size_t allow_open_files(std::size_t files) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return files;
  if (limit.rlim_cur < files) {
    rlimit raised = limit;
    raised.rlim_cur = std::min<rlim_t>(files, limit.rlim_max);
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return static_cast<std::size_t>(limit.rlim_cur);
}

void replace_file(const std::string& path, std::string_view content) {
  FileReplacement replacement(path);
  File file = File::open_update(replacement.temporary_path());
  file.write_at(content.data(), content.size(), 0);
  file.close();
  replacement.commit();
}

std::string read_file(const std::string& path, std::size_t limit) {
  const File file = File::open_read(path);
  const std::uint64_t bytes = file.size();
  if (bytes > limit) {
    throw Error("the file holds " + readable_bytes(bytes) + ", more than the " + readable_bytes(limit) +
                    " expected at most.",
                path, "Check that this is the file you meant.");
  }
  std::string content(bytes, '\0');
  file.read_at(content.data(), content.size(), 0);
  return content;
}

void make_folders(const std::string& path) {
  std::error_code reason;
  std::filesystem::create_directories(path, reason);
  if (reason) throw system_error(path, "make this folder", reason.value());
  if (!std::filesystem::is_directory(path, reason)) {
    throw Error("a file is in the way of this folder.", path, "Remove it or choose another folder.");
  }
}

std::uint64_t free_space(const std::string& folder) {
  struct statvfs status {};
  if (::statvfs(folder.c_str(), &status) != 0) {
    throw system_error(folder, "ask for the free space there", errno);
  }
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

void require_free_space(const std::string& folder, std::uint64_t bytes, const std::string& purpose) {
  const std::uint64_t left = free_space(folder);
  if (left >= bytes) return;
  throw Error(purpose + " needs " + readable_bytes(bytes) + ", but this disk has only " +
                  readable_bytes(left) + " left.",
              folder, remedy_for(ENOSPC));
}

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

std::string readable_bytes(std::uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " bytes";
  constexpr std::array<const char*, 5> kUnits{"kB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", value, kUnits[unit]);
  return text.data();
}

}  // namespace tessera::io
