#include "launch/command.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "base/schema.hpp"

namespace tessera::launch {
namespace {

constexpr std::size_t longest_name = 3;  // words: "data build emoji"

std::string joined(const std::vector<std::string>& words, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "" : " ") + words[i];
  return text;
}

bool begins_with_words(const std::string& name, const std::string& prefix) {
  return prefix.empty() || name == prefix || name.starts_with(prefix + " ");
}

std::string sentence(std::string text) {
  if (text.empty()) return text;
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  if (text.back() != '.' && text.back() != '?' && text.back() != '!') text += '.';
  return text;
}

}  // namespace

const std::vector<Command>& commands() {
  static const std::vector<Command> all{
      train_command(),
      sample_command(),
      plan_command(),
      build_emoji_command(),
      build_folder_command(),
      build_features_command(),
      show_data_command(),
      stats_command(),
      caption_command(),
      show_checkpoint_command(),
      verify_checkpoint_command(),
      export_adapter_command(),
      merge_command(),
      plugins_command(),
  };
  return all;
}

FoundCommand find_command(const std::vector<std::string>& words) {
  std::size_t count = 0;
  while (count < words.size() && count < longest_name && !words[count].starts_with("-")) ++count;
  for (std::size_t used = count; used > 0; --used) {
    const std::string name = joined(words, used);
    for (const Command& command : commands()) {
      if (command.table.name == name) return {&command, used};
    }
  }
  if (count == 0) throw usage_error("no command is given", {}, "give one, for example 'tessera train'.");

  // A group such as "data" or "data build" without its last word, or with a wrong one.
  for (std::size_t used = count; used > 0; --used) {
    const std::string prefix = joined(words, used);
    std::vector<std::string> next;
    for (const Command& command : commands()) {
      if (!begins_with_words(command.table.name, prefix)) continue;
      const std::string rest = command.table.name.substr(prefix.size() + 1);
      next.push_back(rest.substr(0, rest.find(' ')));
    }
    if (next.empty()) continue;
    next.erase(std::unique(next.begin(), next.end()), next.end());
    std::string choices;
    for (const std::string& word : next) choices += (choices.empty() ? "'" : ", '") + word + "'";
    if (used == words.size() || words[used].starts_with("-")) {
      throw usage_error("'tessera " + prefix + "' needs one more word: " + choices, prefix);
    }
    const auto nearest = nearest_word(words[used], next);
    throw usage_error(
        "there is no command '" + prefix + " " + words[used] + "'", prefix,
        nearest ? "did you mean '" + prefix + " " + *nearest + "'?" : "there are " + choices + ".");
  }
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    names.push_back(command.table.name.substr(0, command.table.name.find(' ')));
  }
  const auto nearest = nearest_word(words[0], names);
  throw usage_error("there is no command '" + words[0] + "'", {},
                    nearest ? "did you mean '" + *nearest + "'?" : std::string());
}

std::string overview(const std::string& prefix) {
  std::ostringstream out;
  std::size_t widest = 0;
  for (const Command& command : commands()) widest = std::max(widest, command.table.name.size());
  if (prefix.empty()) {
    out << "tessera: trains and samples text-to-image diffusion transformers\n\n"
        << "usage: tessera COMMAND [arguments]\n\n";
  }
  for (const Command& command : commands()) {
    if (!begins_with_words(command.table.name, prefix)) continue;
    out << "  " << command.table.name << std::string(widest - command.table.name.size() + 2, ' ')
        << command.table.summary << "\n";
  }
  out << "\n'tessera COMMAND --help' explains a command and gives examples.\n";
  if (prefix.empty()) {
    out << "\nexamples:\n"
        << "  tessera data build emoji --out data/quickstart --subset quickstart\n"
        << "  mpirun -n 2 tessera train configs/demo/quickstart.toml --out runs/quickstart\n"
        << "  tessera sample --checkpoint runs/quickstart --prompt \"purple heart\" --out heart.png\n"
        << "\nexit codes: 0 done, 1 error, 2 wrong usage, 75 stopped early with a checkpoint, to be "
           "resumed\n";
  }
  return out.str();
}

std::string paragraph(const Error& error) {
  const std::string where = error.where().empty() ? "" : error.where() + ": ";
  const std::string what = where.empty() ? sentence(error.summary()) : where + error.summary();
  std::string text = what;
  if (text.back() != '.' && text.back() != '!' && text.back() != '?') text += '.';
  if (!error.remedy().empty()) text += " " + sentence(error.remedy());
  return text;
}

std::string message(const Error& error, int rank) {
  const std::string speaker = rank == 0 ? "tessera: " : "tessera, rank " + std::to_string(rank) + ": ";
  return error.code() == ExitCode::usage ? paragraph(error) : speaker + paragraph(error);
}

}  // namespace tessera::launch
