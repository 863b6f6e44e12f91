#pragma once
// Invariant: a child that was started is waited for, and neither it nor what it started in its process group
// outlives its time limit or this object; when this process dies by any means, the child is killed too.

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tessera::datasets::captioner {

/// Why exec refused a program: the system's error number.
struct StartFailure {
  int error_number;
};

/// A program that runs beside this one with no input, its output read through a pipe.
class Child {
 public:
  using Clock = std::chrono::steady_clock;
  enum class End : std::uint8_t { running, exited, signalled, timed_out, too_much_output };

  struct Limits {
    std::chrono::milliseconds time;
    std::size_t output;  ///< bytes of standard output
  };

  /// @param environment  variables "NAME=value" in addition to those of this process.
  /// Main thread only.
  /// @throws StartFailure when the program cannot be run, Error when the system has no more processes.
  Child(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
        const Limits& limits);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Descriptors to poll for input; -1 once at their end.
  [[nodiscard]] int output_descriptor() const { return output_.descriptor; }
  [[nodiscard]] int errors_descriptor() const { return errors_.descriptor; }
  [[nodiscard]] Clock::time_point deadline() const { return deadline_; }

  /// Reads what there is, ends what is over its limits. @return whether the child has ended.
  bool update();

  [[nodiscard]] End end() const { return end_; }
  /// Exit code, or the signal's number.
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] const std::string& output() const { return output_.text; }
  /// The last 4096 bytes of standard error.
  [[nodiscard]] const std::string& errors() const { return errors_.text; }

 private:
  struct Pipe {
    int descriptor = -1;
    std::string text;
  };
  static void drain(Pipe& pipe);
  void kill_group(End reason);

  pid_t process_ = -1;  // also the number of its group; -1 once waited for
  Limits limits_;
  Clock::time_point deadline_;
  Pipe output_, errors_;
  End end_ = End::running;
  int status_ = 0;
};

}  // namespace tessera::datasets::captioner
