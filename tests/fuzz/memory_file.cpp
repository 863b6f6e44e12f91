#include "memory_file.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace tessera::fuzz {
namespace {

void require(bool good) {
  if (!good) throw std::system_error(errno, std::generic_category(), "memory file");
}

}  // namespace

MemoryFile::MemoryFile() {
  const std::filesystem::path memory = "/dev/shm";
  const bool usable = ::access(memory.c_str(), W_OK) == 0;
  path_ = ((usable ? memory : std::filesystem::temp_directory_path()) / "tessera-fuzz-XXXXXX").string();
  descriptor_ = ::mkstemp(path_.data());
  require(descriptor_ >= 0);
}

MemoryFile::~MemoryFile() {
  ::close(descriptor_);
  ::unlink(path_.c_str());
}

void MemoryFile::assign(Bytes bytes) {
  require(::ftruncate(descriptor_, 0) == 0);
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t moved =
        ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    require(moved > 0);
    done += static_cast<std::size_t>(moved);
  }
}

}  // namespace tessera::fuzz
