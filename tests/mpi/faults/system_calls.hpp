#pragma once
// Invariant: the calls that checkpoints make of the system go through this program's own functions of the
// same names (the linker puts those of a program before those of its libraries), which do what the C
// library's do until a fault is set, and then count. Nothing in the framework knows of it.

#include <cstdint>
#include <string>

namespace tessera::test {

enum class Call : std::uint8_t {
  describe,  ///< pwrite, by HDF5
  write,     ///< pwrite, by anybody else
  read,      ///< pread
  sync,      ///< fsync, of a file or a folder
  reserve,   ///< fallocate
  create,    ///< open with O_CREAT
  rename,
  remove
};

enum class Effect : std::uint8_t {
  fail,         ///< with `error`
  spoil,        ///< a write: one bit of it is turned over, and it reports success
  hold,         ///< waits until release() is called
  kill_before,  ///< SIGKILL
  kill_after
};

/// Strikes the `number`th call on a path that contains `path`, and every later one where it fails.
struct Fault {
  Call call = Call::write;
  Effect effect = Effect::fail;
  int error = 0;
  int number = 1;
  std::string path = ".h5.tmp-";
};

void set_fault(const Fault& fault);
/// Lets go whoever is held.
void release();
/// Sets no fault, and lets go whoever is held.
void clear_fault();
/// How many calls it had to do with, and how often it struck.
[[nodiscard]] int calls();
[[nodiscard]] int strikes();
/// Returns when it has struck. @throws std::runtime_error after a minute.
void await_strike();
/// The number of all calls on files of checkpoints so far, a line of each kind: "write 120".
[[nodiscard]] std::string calls_by_kind();
/// Sets the fault that a text like "write kill_before 17" describes.
void set_fault(const std::string& text);

/// From now on each look at the calendar's clock is `seconds` off, ahead and behind by turns; 0: as it is.
void shake_clock(std::int64_t seconds);
/// What /proc/meminfo says from now on, a path; empty: the truth.
void set_memory_file(const std::string& path);

}  // namespace tessera::test
