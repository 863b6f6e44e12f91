#pragma once
// Invariant: a command's options are described once, in its CommandTable; parsing, error messages and the
// help text are made from that table and from nothing else. Every mistake on the command line is an Error
// with ExitCode::usage that names the nearest option and the command whose --help explains them.

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace tessera::launch {

struct Option {
  enum class Takes : std::uint8_t {
    nothing,  ///< a switch
    one,      ///< --steps 30, --steps=30; the last one counts
    each,     ///< one value each time, may be repeated: --set a=1 --set b=2
    several,  ///< all values up to the next option, may be repeated: --prompt TEXT TEXT
  };
  std::string name;  ///< "--steps"
  Takes takes = Takes::one;
  std::string value;  ///< what help calls the value: "N", "FILE"
  std::string help;   ///< a default belongs here: "(default 1)"
  bool required = false;
};

/// The arguments that are not options.
struct Operands {
  std::string name;  ///< "CONFIG"; empty when the command takes none
  std::string help;
  std::size_t least = 0;
  std::size_t most = 0;
};

struct Example {
  std::string command;
  std::string meaning;
};

struct CommandTable {
  std::string name;     ///< as typed after the program: "data build"
  std::string summary;  ///< one line
  std::string details;  ///< a paragraph; may be empty
  Operands operands;
  std::vector<Option> options;
  std::vector<Example> examples;
};

class Arguments {
 public:
  [[nodiscard]] bool has(const std::string& option) const { return values_.contains(option); }
  [[nodiscard]] std::string text(const std::string& option, const std::string& fallback = {}) const;
  [[nodiscard]] std::vector<std::string> texts(const std::string& option) const;
  /// "a,b" or repeated values. @throws Error (usage) when a part is empty.
  [[nodiscard]] std::vector<std::string> list(const std::string& option,
                                              std::vector<std::string> fallback) const;
  /// @throws Error (usage) when the text is no number or is out of range.
  [[nodiscard]] std::int64_t integer(const std::string& option, std::int64_t fallback, std::int64_t least,
                                     std::int64_t most = std::numeric_limits<std::int64_t>::max()) const;
  [[nodiscard]] double number(const std::string& option, double fallback, double least, double most) const;
  /// "32,64" or repeated values. @throws Error (usage) as integer().
  [[nodiscard]] std::vector<std::int64_t> integers(const std::string& option,
                                                   std::vector<std::int64_t> fallback, std::int64_t least,
                                                   std::int64_t most) const;
  [[nodiscard]] const std::vector<std::string>& operands() const { return operands_; }
  [[nodiscard]] bool wants_help() const { return has("--help"); }

 private:
  friend Arguments parse_arguments(const CommandTable&, const std::vector<std::string>&);
  std::string command_;
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> operands_;
};

/// @param words  what follows the command's name. With --help among them nothing is required.
/// @throws Error (usage)
[[nodiscard]] Arguments parse_arguments(const CommandTable& table, const std::vector<std::string>& words);

/// The text of `tessera NAME --help`, at most 100 columns wide.
[[nodiscard]] std::string help_text(const CommandTable& table);

/// `text` in lines of at most `columns`, all but the first indented by `indent` spaces.
[[nodiscard]] std::string folded(const std::string& text, std::size_t columns, std::size_t indent);

/// An Error with ExitCode::usage whose remedy ends by naming the command's help.
[[nodiscard]] Error usage_error(const std::string& what, const std::string& command,
                                const std::string& remedy = {});

}  // namespace tessera::launch
