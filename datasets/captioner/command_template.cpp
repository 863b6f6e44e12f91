#include "datasets/captioner/command_template.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>
#include <utility>

#include "base/error.hpp"
#include "base/schema.hpp"

namespace tessera::datasets::captioner {
namespace {

Error bad_command(const std::string& what, const std::string& remedy) {
  return Error(what, "--command", remedy, ExitCode::usage);
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  std::optional<std::string> word;
  char quote = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == '\0' && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
      if (word) words.push_back(*std::exchange(word, std::nullopt));
      continue;
    }
    if (!word) word.emplace();
    const bool escapes = c == '\\' && quote != '\'' && i + 1 < text.size() &&
                         (quote == '\0' || text[i + 1] == '"' || text[i + 1] == '\\');
    if (escapes) {
      word->push_back(text[++i]);
    } else if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    } else if (quote != '\0' && c == quote) {
      quote = '\0';
    } else {
      word->push_back(c);
    }
  }
  if (quote != '\0') throw bad_command(std::string("a quote (") + quote + ") is not closed", "close it");
  if (word) words.push_back(*word);
  if (words.empty()) throw bad_command("the command is empty", "give a program and its arguments");
  return words;
}

/// The length of "{name}" at a place in the text; 0 when there is none.
std::size_t placeholder_length(const std::string& text, std::size_t at) {
  std::size_t end = at + 1;
  while (end < text.size() && ((text[end] >= 'a' && text[end] <= 'z') || text[end] == '_')) ++end;
  return at < text.size() && text[at] == '{' && end > at + 1 && end < text.size() && text[end] == '}'
             ? end + 1 - at
             : 0;
}

}  // namespace

CommandTemplate::CommandTemplate(const std::string& text) {
  for (const std::string& word : split(text)) words_.push_back(pieces_of(word));
}

CommandTemplate::Word CommandTemplate::pieces_of(const std::string& word) {
  Word pieces;
  std::string text;
  for (std::size_t i = 0; i < word.size();) {
    if (const std::size_t inner = placeholder_length(word, i + 1);
        word[i] == '{' && inner > 0 && i + 1 + inner < word.size() && word[i + 1 + inner] == '}') {
      text += word.substr(i + 1, inner);
      i += inner + 2;
      continue;
    }
    const std::size_t length = placeholder_length(word, i);
    if (length == 0) {
      text.push_back(word[i++]);
      continue;
    }
    const std::string name = word.substr(i + 1, length - 2);
    if (name != "image" && name != "caption") {
      const auto nearest = nearest_word(name, {"image", "caption"});
      throw bad_command("there is no placeholder {" + name + "}",
                        (nearest ? "did you mean {" + *nearest + "}? " : std::string()) +
                            "There are {image} and {caption}; write {{" + name + "}} for the text {" + name +
                            "}");
    }
    pieces.push_back({Piece::Kind::text, std::exchange(text, {})});
    pieces.push_back({name == "image" ? Piece::Kind::image : Piece::Kind::caption, {}});
    i += length;
  }
  pieces.push_back({Piece::Kind::text, text});
  return pieces;
}

std::vector<std::string> CommandTemplate::arguments(const std::string& image,
                                                    const std::string& caption) const {
  std::vector<std::string> arguments;
  for (const Word& word : words_) {
    std::string& argument = arguments.emplace_back();
    for (const Piece& piece : word) {
      argument += piece.kind == Piece::Kind::image     ? image
                  : piece.kind == Piece::Kind::caption ? caption
                                                       : piece.text;
    }
    argument = without_nul(std::move(argument));
  }
  return arguments;
}

std::string without_nul(std::string text) {
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text;
}

void require_program(const std::string& program) {
  const auto runs = [](const std::filesystem::path& file) {
    std::error_code failure;
    return std::filesystem::is_regular_file(file, failure) && ::access(file.c_str(), X_OK) == 0;
  };
  if (program.find('/') != std::string::npos) {
    if (runs(program)) return;
    throw Error("there is no executable file of this name", program,
                "correct the path in --command, or make the file executable (chmod +x)");
  }
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/usr/bin:/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (runs(std::filesystem::path(folder.empty() ? "." : folder) / program)) return;
  }
  throw Error("there is no program of this name on PATH", program,
              "correct --command, or give the program's path; the command is not run by a shell, so shell "
              "syntax needs sh -c '...'");
}

}  // namespace tessera::datasets::captioner
