#include "datasets/captioner/child.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "io/file.hpp"

namespace tessera::datasets::captioner {
namespace {

constexpr std::size_t kept_errors = 4096;
constexpr std::size_t largest_pipe = std::size_t{1} << 20;  // Linux lets nobody but root make larger ones

struct PipeEnds {
  int read = -1, write = -1;
  PipeEnds() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      throw io::system_error("pipe", "make a pipe for a command", errno);
    read = ends[0];
    write = ends[1];
  }
  ~PipeEnds() {
    close(read);
    close(write);
  }
  PipeEnds(const PipeEnds&) = delete;
  PipeEnds& operator=(const PipeEnds&) = delete;
  static void close(int& descriptor) {
    if (descriptor >= 0) ::close(std::exchange(descriptor, -1));
  }
};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// The variables of this process, those of the same names replaced.
std::vector<std::string> environment_with(const std::vector<std::string>& replacements) {
  std::vector<std::string> variables = replacements;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string variable = *each;
    const std::string name = variable.substr(0, variable.find('=') + 1);
    const bool replaced = std::any_of(replacements.begin(), replacements.end(),
                                      [&](const std::string& other) { return other.starts_with(name); });
    if (!replaced) variables.push_back(variable);
  }
  return variables;
}

/// The child's part between fork and exec: system calls only.
[[noreturn]] void become(char* const* arguments, char* const* environment, pid_t parent, int null, int output,
                         int errors, int failure) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it died before the line above
  if (::dup2(null, STDIN_FILENO) >= 0 && ::dup2(output, STDOUT_FILENO) >= 0 &&
      ::dup2(errors, STDERR_FILENO) >= 0) {
    ::execvpe(arguments[0], arguments, environment);
  }
  const int reason = errno;
  (void)!::write(failure, &reason, sizeof reason);
  ::_exit(127);
}

}  // namespace

Child::Child(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
             const Limits& limits)
    : limits_(limits), deadline_(Clock::now() + limits.time) {
  std::vector<std::string> own_arguments = arguments;
  std::vector<std::string> variables = environment_with(environment);
  const std::vector<char*> argument_pointers = pointers_to(own_arguments);
  const std::vector<char*> variable_pointers = pointers_to(variables);
  PipeEnds output, errors, failure;
  int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0) throw io::system_error("/dev/null", "open it", errno);

  const pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) {
    become(argument_pointers.data(), variable_pointers.data(), parent, null, output.write, errors.write,
           failure.write);
  }
  const int fork_error = errno;
  PipeEnds::close(null);
  if (process_ < 0) throw io::system_error(arguments.front(), "start another process", fork_error);
  ::setpgid(process_, process_);  // the child does it too; whoever comes first
  PipeEnds::close(failure.write);
  int reason = 0;
  ssize_t got = 0;
  do {  // exec closes the pipe, so this waits for it and no longer
    got = ::read(failure.read, &reason, sizeof reason);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof reason)) {
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
    throw StartFailure{reason};
  }
  ::fcntl(output.read, F_SETFL, O_NONBLOCK);
  ::fcntl(errors.read, F_SETFL, O_NONBLOCK);
  output_.descriptor = std::exchange(output.read, -1);
  errors_.descriptor = std::exchange(errors.read, -1);
}

Child::~Child() {
  if (process_ > 0) {
    ::kill(-process_, SIGKILL);
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  PipeEnds::close(output_.descriptor);
  PipeEnds::close(errors_.descriptor);
}

// Reads what was in the pipe when it was called, which is at most 1 MB, and little of what comes meanwhile.
void Child::drain(Pipe& pipe) {
  std::array<char, 16384> piece{};
  for (std::size_t total = 0; pipe.descriptor >= 0 && total < largest_pipe;) {
    const ssize_t got = ::read(pipe.descriptor, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return PipeEnds::close(pipe.descriptor);
    pipe.text.append(piece.data(), static_cast<std::size_t>(got));
    total += static_cast<std::size_t>(got);
  }
}

void Child::kill_group(End reason) {
  end_ = reason;
  if (process_ > 0) ::kill(-process_, SIGKILL);
}

bool Child::update() {
  // Asked before reading: what a child wrote before it ended is then surely read below.
  int state = 0;
  const bool ended = process_ < 0 || ::waitpid(process_, &state, WNOHANG) == process_;
  if (ended) process_ = -1;
  if (end_ == End::running) {
    drain(output_);
    drain(errors_);
    if (errors_.text.size() > kept_errors) errors_.text.erase(0, errors_.text.size() - kept_errors);
    if (output_.text.size() > limits_.output) {
      kill_group(End::too_much_output);
    } else if (ended) {
      end_ = WIFEXITED(state) ? End::exited : End::signalled;
      status_ = WIFEXITED(state) ? WEXITSTATUS(state) : WTERMSIG(state);
    } else if (Clock::now() >= deadline_) {
      kill_group(End::timed_out);
    }
  }
  return ended;
}

}  // namespace tessera::datasets::captioner
