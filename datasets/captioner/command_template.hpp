#pragma once
// Invariant: what a picture's name or caption holds never changes how a command is split into arguments: no
// shell is involved, and a placeholder's value stays inside the argument in which the placeholder stands.

#include <cstdint>
#include <string>
#include <vector>

namespace tessera::datasets::captioner {

/// A command line with placeholders, such as "describe --prompt 'Be brief' --hint={caption} {image}". Words
/// are separated by white space; single quotes, double quotes and backslashes keep it in a word as in a
/// shell, and nothing else of a shell is understood. {image} and {caption} are replaced; {{image}} stands for
/// the text {image}.
class CommandTemplate {
 public:
  /// @throws Error (usage) for an unknown placeholder, an open quote, or no word at all.
  explicit CommandTemplate(const std::string& text);

  /// The arguments for one picture, the program first. A NUL byte, which no argument can hold, becomes a
  /// space.
  [[nodiscard]] std::vector<std::string> arguments(const std::string& image,
                                                   const std::string& caption) const;

 private:
  struct Piece {
    enum class Kind : std::uint8_t { text, image, caption } kind = Kind::text;
    std::string text;
  };
  using Word = std::vector<Piece>;
  static Word pieces_of(const std::string& word);

  std::vector<Word> words_;
};

/// A text without NUL bytes, which neither arguments nor environment variables can hold.
[[nodiscard]] std::string without_nul(std::string text);

/// @throws Error when the program is no executable file, or none of that name is on PATH.
void require_program(const std::string& program);

}  // namespace tessera::datasets::captioner
