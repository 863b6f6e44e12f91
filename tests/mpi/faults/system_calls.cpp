#include "system_calls.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>

namespace tessera::test {
namespace {

constexpr std::array<const char*, 8> names{"describe", "write",  "read",   "sync",
                                           "reserve",  "create", "rename", "remove"};

struct Setting {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Fault> fault;
  std::array<int, names.size()> counts{};
  int seen = 0;
  int struck = 0;
  bool held = false;
  std::string memory_file;
};

Setting& setting() {
  static Setting* const all = new Setting;  // calls are made after destructors too
  return *all;
}

std::atomic<std::int64_t> clock_error{0};
std::atomic<std::uint64_t> clock_looks{0};

/// The C library's function of that name.
template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

std::string path_of(int descriptor) {
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
  return length > 0 ? std::string(path.data(), static_cast<std::size_t>(length)) : std::string();
}

bool called_by_hdf5(void* caller) {
  Dl_info info{};
  return ::dladdr(caller, &info) != 0 && info.dli_fname != nullptr &&
         std::strstr(info.dli_fname, "libhdf5") != nullptr;
}

/// What is to happen to this call; Effect::hold is over when this returns.
std::optional<Fault> struck_by(Call call, const std::string& path) {
  Setting& all = setting();
  std::unique_lock lock(all.mutex);
  if (path.find("/checkpoints/step-") != std::string::npos) ++all.counts[static_cast<std::size_t>(call)];
  if (!all.fault || all.fault->call != call || path.find(all.fault->path) == std::string::npos) return {};
  const Fault fault = *all.fault;
  ++all.seen;
  const bool lasting = fault.effect == Effect::fail;
  if (all.seen < fault.number || (all.seen > fault.number && !lasting)) return {};
  ++all.struck;
  all.changed.notify_all();
  if (fault.effect == Effect::hold) {
    all.held = true;
    all.changed.wait(lock, [&] { return !all.held; });
  }
  if (fault.effect == Effect::kill_before) ::kill(::getpid(), SIGKILL);
  return fault;
}

/// Makes the call, unless a fault forbids it.
template <class Work>
auto guarded(Call call, const std::string& path, const Work& work) {
  const std::optional<Fault> fault = struck_by(call, path);
  if (fault && fault->effect == Effect::fail) {
    errno = fault->error;
    return static_cast<decltype(work())>(-1);
  }
  const auto result = work();
  if (fault && fault->effect == Effect::kill_after) ::kill(::getpid(), SIGKILL);
  return result;
}

}  // namespace

void set_fault(const Fault& fault) {
  const std::lock_guard lock(setting().mutex);
  setting().fault = fault;
  setting().seen = setting().struck = 0;
}

void release() {
  const std::lock_guard lock(setting().mutex);
  setting().held = false;
  setting().changed.notify_all();
}

void clear_fault() {
  {
    const std::lock_guard lock(setting().mutex);
    setting().fault.reset();
  }
  release();
}

int calls() {
  const std::lock_guard lock(setting().mutex);
  return setting().seen;
}

void await_strike() {
  std::unique_lock lock(setting().mutex);
  const auto struck = [] { return setting().struck > 0; };
  if (!setting().changed.wait_for(lock, std::chrono::minutes(1), struck)) {
    throw std::runtime_error("the fault did not strike");
  }
}

int strikes() {
  const std::lock_guard lock(setting().mutex);
  return setting().struck;
}

std::string calls_by_kind() {
  const std::lock_guard lock(setting().mutex);
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    text += std::string(names[i]) + " " + std::to_string(setting().counts[i]) + "\n";
  }
  return text;
}

void set_fault(const std::string& text) {
  std::istringstream words(text);
  std::string call, effect;
  Fault fault;
  if (!(words >> call >> effect >> fault.number)) throw std::invalid_argument("no fault: " + text);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (call != names[i]) continue;
    fault.call = static_cast<Call>(i);
    fault.effect = effect == "kill_after" ? Effect::kill_after : Effect::kill_before;
    fault.path = "/checkpoints/step-";
    return set_fault(fault);
  }
  throw std::invalid_argument("no fault: " + text);
}

void shake_clock(std::int64_t seconds) { clock_error = seconds; }

void set_memory_file(const std::string& path) {
  const std::lock_guard lock(setting().mutex);
  setting().memory_file = path;
}

}  // namespace tessera::test

using tessera::test::Call;
using tessera::test::Effect;

extern "C" {

ssize_t pwrite(int descriptor, const void* from, size_t bytes, off_t offset) {
  static auto* const call = tessera::test::real<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  const bool hdf5 = tessera::test::called_by_hdf5(__builtin_return_address(0));
  const std::string path = tessera::test::path_of(descriptor);
  const auto fault = tessera::test::struck_by(hdf5 ? Call::describe : Call::write, path);
  if (!fault) return call(descriptor, from, bytes, offset);
  if (fault->effect == Effect::fail) {
    errno = fault->error;
    return -1;
  }
  const auto copy = std::make_unique<char[]>(bytes);
  std::memcpy(copy.get(), from, bytes);
  if (fault->effect == Effect::spoil) copy[0] = static_cast<char>(copy[0] ^ 4);
  if (fault->effect == Effect::kill_after) {  // in the middle of it
    (void)call(descriptor, copy.get(), bytes / 2, offset);
    ::kill(::getpid(), SIGKILL);
  }
  return call(descriptor, copy.get(), bytes, offset);
}

ssize_t pread(int descriptor, void* to, size_t bytes, off_t offset) {
  static auto* const call = tessera::test::real<ssize_t(int, void*, size_t, off_t)>("pread");
  return tessera::test::guarded(Call::read, tessera::test::path_of(descriptor),
                                [&] { return call(descriptor, to, bytes, offset); });
}

int fsync(int descriptor) {
  static auto* const call = tessera::test::real<int(int)>("fsync");
  return tessera::test::guarded(Call::sync, tessera::test::path_of(descriptor),
                                [&] { return call(descriptor); });
}

int fallocate(int descriptor, int mode, off_t offset, off_t bytes) {
  static auto* const call = tessera::test::real<int(int, int, off_t, off_t)>("fallocate");
  return tessera::test::guarded(Call::reserve, tessera::test::path_of(descriptor),
                                [&] { return call(descriptor, mode, offset, bytes); });
}

int open(const char* path, int flags, ...) {
  static auto* const call = tessera::test::real<int(const char*, int, ...)>("open");
  mode_t mode = 0;
  if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  if ((flags & O_CREAT) == 0) return call(path, flags, mode);
  return tessera::test::guarded(Call::create, path, [&] { return call(path, flags, mode); });
}

int rename(const char* from, const char* to) noexcept {
  static auto* const call = tessera::test::real<int(const char*, const char*)>("rename");
  return tessera::test::guarded(Call::rename, from, [&] { return call(from, to); });
}

int remove(const char* path) noexcept {
  static auto* const call = tessera::test::real<int(const char*)>("remove");
  return tessera::test::guarded(Call::remove, path, [&] { return call(path); });
}

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static auto* const call = tessera::test::real<int(clockid_t, timespec*)>("clock_gettime");
  const int status = call(clock, time);
  const std::int64_t error = tessera::test::clock_error;
  if (clock == CLOCK_REALTIME && error != 0) {
    time->tv_sec += tessera::test::clock_looks++ % 2 == 0 ? error : -error;
  }
  return status;
}

FILE* fopen64(const char* path, const char* mode) {
  static auto* const call = tessera::test::real<FILE*(const char*, const char*)>("fopen64");
  std::string instead;
  if (std::strcmp(path, "/proc/meminfo") == 0) {
    const std::lock_guard lock(tessera::test::setting().mutex);
    instead = tessera::test::setting().memory_file;
  }
  return call(instead.empty() ? path : instead.c_str(), mode);
}
}
