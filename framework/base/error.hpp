#pragma once
// Invariant: library code reports every failure by throwing an Error that says what happened, where,
// and what the user can do about it; it never prints, exits or aborts. Programs in launch/ catch it,
// print it once, and choose the exit code.

#include <stdexcept>
#include <string>

namespace tessera {

/// Exit codes of every program (Error::code): done, failed, wrong usage, stopped early with a checkpoint.
enum class ExitCode : int { done = 0, error = 1, usage = 2, resume_later = 75 };

/// What went wrong, in words a user can act on.
class Error : public std::runtime_error {
 public:
  /// @param what    one sentence: what happened, with the values that matter.
  /// @param where   file, key, tensor or operation concerned ("run.toml:12, key 'train.batch'"); may be
  /// empty.
  /// @param remedy  what to do about it; may be empty.
  explicit Error(const std::string& what, std::string where = {}, std::string remedy = {},
                 ExitCode code = ExitCode::error);

  [[nodiscard]] const std::string& summary() const { return summary_; }
  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] const std::string& remedy() const { return remedy_; }
  [[nodiscard]] ExitCode code() const { return code_; }

 private:
  std::string summary_;
  std::string where_;
  std::string remedy_;
  ExitCode code_;
};

}  // namespace tessera
