#include "comm/shared_arena.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "comm/available_memory.hpp"
#include "comm/slice.hpp"

namespace tessera::comm {
namespace {

constexpr const char* where = "shared memory between the ranks of a node";
constexpr const char* too_small_remedy =
    "Use fewer ranks per node, a smaller model, or a machine (or container limit) with more memory.";

std::size_t page_size() {
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

std::size_t whole_pages(std::size_t bytes) {
  return (std::max(bytes, std::size_t{1}) + page_size() - 1) / page_size() * page_size();
}

std::string mebibytes(std::size_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

Error system_error(const std::string& what) { return Error(what + ": " + std::strerror(errno), where); }

/// A file without a name, open in this process.
class MemoryFile {
 public:
  explicit MemoryFile(int descriptor) : descriptor_(descriptor) {}
  ~MemoryFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  MemoryFile(MemoryFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  MemoryFile& operator=(MemoryFile&&) = delete;

  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] bool open() const { return descriptor_ >= 0; }

 private:
  int descriptor_;
};

/// What the other ranks of the node need in order to open the file of node rank 0, and to know it for the
/// same.
struct Address {
  pid_t process = 0;
  int descriptor = -1;
  dev_t device = 0;
  ino_t inode = 0;
};

/// Node rank 0 creates a file of `bytes` and its node-mates open it through /proc; not open where that fails.
MemoryFile open_on_node(const Communicator& node, std::size_t bytes) {
  Address address;
  int descriptor = -1;
  struct stat status {};
  if (node.rank() == 0) {
    descriptor = memfd_create("tessera", MFD_CLOEXEC);
    if (descriptor >= 0 && ftruncate(descriptor, static_cast<off_t>(bytes)) == 0 &&
        fstat(descriptor, &status) == 0) {
      address = {getpid(), descriptor, status.st_dev, status.st_ino};
    }
  }
  node.broadcast(std::as_writable_bytes(std::span(&address, 1)), 0);
  if (node.rank() != 0 && address.descriptor >= 0) {
    const std::string path =
        "/proc/" + std::to_string(address.process) + "/fd/" + std::to_string(address.descriptor);
    descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    const bool same = descriptor >= 0 && fstat(descriptor, &status) == 0 && status.st_dev == address.device &&
                      status.st_ino == address.inode;
    if (!same && descriptor >= 0) {
      close(descriptor);
      descriptor = -1;
    }
  }
  MemoryFile file(descriptor);
  // Node rank 0 must not close its descriptor before the others have opened theirs: agree() waits.
  if (!node.agree(file.open() && address.descriptor >= 0)) return MemoryFile(-1);
  return file;
}

/// The pages that hold the bytes `held` of an arena.
std::vector<Slice> pages_of(const std::vector<Slice>& held, std::size_t mapped) {
  std::vector<Slice> pages;
  for (const Slice range : held) {
    if (range.size() == 0) continue;
    const Slice whole{range.begin / page_size() * page_size(), std::min(whole_pages(range.end), mapped)};
    if (!pages.empty() && whole.begin <= pages.back().end) {
      pages.back().end = std::max(pages.back().end, whole.end);
    } else {
      pages.push_back(whole);
    }
  }
  return pages;
}

/// Addresses for `bytes`, of which `pages` may be touched.
std::shared_ptr<void> map(int descriptor, std::size_t bytes, const std::vector<Slice>& pages) {
  const int flags = descriptor >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  void* const memory = mmap(nullptr, bytes, PROT_NONE, flags, descriptor, 0);
  if (memory == MAP_FAILED) throw system_error("mapping " + mebibytes(bytes) + " failed");
  std::shared_ptr<void> owner(memory, [bytes](void* m) { munmap(m, bytes); });
  for (const Slice range : pages) {
    std::byte* const begin = static_cast<std::byte*>(memory) + range.begin;
    if (mprotect(begin, range.size(), PROT_READ | PROT_WRITE) != 0) {
      throw system_error("mapping " + mebibytes(range.size()) + " failed");
    }
    madvise(begin, range.size(), MADV_HUGEPAGE);  // advice only: fewer page faults where the system allows it
  }
  return owner;
}

/// Makes the pages of `range` of the mapped file exist, on the memory bank of the calling rank.
void reserve(const MemoryFile& file, void* memory, Slice range) {
  if (range.size() == 0) return;
#ifdef MADV_POPULATE_WRITE
  // Unlike fallocate() this heeds the advice on huge pages; kernels before 5.14 do not know it.
  if (madvise(static_cast<std::byte*>(memory) + range.begin, range.size(), MADV_POPULATE_WRITE) == 0) return;
#endif
  int result = 0;
  do {
    result =
        fallocate(file.descriptor(), 0, static_cast<off_t>(range.begin), static_cast<off_t>(range.size()));
  } while (result != 0 && errno == EINTR);
  if (result == 0 || errno == EOPNOTSUPP) return;
  throw Error("the system refused " + mebibytes(range.size()) + ": " + std::strerror(errno), where,
              too_small_remedy);
}

void require_available(std::size_t bytes) {
  const std::size_t available = available_memory();
  if (bytes <= available) return;
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  throw Error(
      mebibytes(bytes) + " are needed and " + mebibytes(available) + " are available on " + host.data(),
      where, too_small_remedy);
}

}  // namespace

bool SharedArena::supported(const Communicator& world) {
  return world.agree(open_on_node(world.node(), page_size()).open());
}

SharedArena::SharedArena(const Communicator& world, std::size_t bytes, Placement placement)
    : SharedArena(world, bytes, placement, {{0, std::max(bytes, std::size_t{1})}}) {}

SharedArena::SharedArena(const Communicator& world, std::size_t bytes, Placement placement,
                         const std::vector<Slice>& held)
    : placement_(placement), bytes_(bytes) {
  const std::size_t mapped = whole_pages(bytes);
  const std::vector<Slice> pages = pages_of(held, mapped);
  for (const Slice range : pages) held_bytes_ += range.size();
  if (placement == Placement::private_memory) {
    require_available(held_bytes_);
    owner_ = map(-1, mapped, pages);
    return;
  }
  world.together([&] {
    if (world.node_rank() == 0) require_available(held_bytes_);
  });
  const MemoryFile file = open_on_node(world.node(), mapped);
  world.together([&] {
    if (!file.open()) {
      throw Error(
          "the ranks of this node cannot map each other's memory", where,
          "Start all ranks of a node in one container (one set of process numbers), or keep parameters "
          "and gradients in private memory.");
    }
    owner_ = map(file.descriptor(), mapped, pages);
    for (const Slice range : pages) {
      const Slice mine = slice_of(range.size(), world.node_rank(), world.node_size(), page_size());
      reserve(file, owner_.get(), {range.begin + mine.begin, range.begin + mine.end});
    }
  });
}

Tensor shared_tensor(const Communicator& world, std::int64_t elements, DType type) {
  const SharedArena arena(world, static_cast<std::size_t>(elements) * size_of(type), Placement::shared);
  return Tensor::wrap(arena.data(), {elements}, type, arena.owner());
}

}  // namespace tessera::comm
