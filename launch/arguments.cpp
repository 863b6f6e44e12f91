#include "launch/arguments.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "base/schema.hpp"

namespace tessera::launch {
namespace {

constexpr std::size_t help_columns = 100;

bool is_option(const std::string& word) { return word.size() > 2 && word.starts_with("--"); }

const Option help_option{"--help", Option::Takes::nothing, {}, "Print this text.", false};

const Option& find_option(const CommandTable& table, const std::string& name) {
  if (name == help_option.name) return help_option;
  std::vector<std::string> names{help_option.name};
  for (const Option& option : table.options) {
    if (option.name == name) return option;
    names.push_back(option.name);
  }
  const auto nearest = nearest_word(name, names);
  throw usage_error("unknown option '" + name + "'", table.name,
                    nearest ? "did you mean '" + *nearest + "'?" : std::string());
}

std::string operands_text(const Operands& operands) {
  if (operands.most == 0) return {};
  const std::string name = operands.most > 1 ? operands.name + "..." : operands.name;
  return operands.least == 0 ? " [" + name + "]" : " " + name;
}

std::string option_text(const Option& option) {
  switch (option.takes) {
    case Option::Takes::nothing:
      return option.name;
    case Option::Takes::several:
      return option.name + " " + option.value + "...";
    default:
      return option.name + " " + option.value;
  }
}

void check_operands(const CommandTable& table, const std::vector<std::string>& given) {
  const Operands& operands = table.operands;
  if (given.size() > operands.most) {
    throw usage_error(
        "'" + given[operands.most] + "' is one argument too many", table.name,
        operands.most == 0 ? "this command takes options only" : "quote a value that holds spaces");
  }
  if (given.size() < operands.least) {
    throw usage_error("the argument " + operands.name + " is missing", table.name, operands.help);
  }
}

[[noreturn]] void bad_number(const std::string& command, const std::string& option, const std::string& text,
                             const std::string& wanted) {
  throw usage_error(option + " " + text + ": " + wanted + " is wanted", command);
}

std::int64_t whole_number(const std::string& command, const std::string& option, const std::string& text,
                          std::int64_t least, std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    bad_number(command, option, text, "a whole number");
  }
  if (value < least || value > most) {
    const std::string upper =
        most == std::numeric_limits<std::int64_t>::max()
            ? "a whole number of at least " + std::to_string(least)
            : "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
    bad_number(command, option, text, upper);
  }
  return value;
}

}  // namespace

Error usage_error(const std::string& what, const std::string& command, const std::string& remedy) {
  const std::string program = command.empty() ? "tessera" : "tessera " + command;
  return Error(what, program, (remedy.empty() ? "see '" : remedy + " See '") + program + " --help'.",
               ExitCode::usage);
}

Arguments parse_arguments(const CommandTable& table, const std::vector<std::string>& words) {
  Arguments arguments;
  arguments.command_ = table.name;
  bool only_operands = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!only_operands && word == "--") {
      only_operands = true;
      continue;
    }
    if (!only_operands && (word == "-h" || word == "-help")) {
      arguments.values_[help_option.name];
      continue;
    }
    if (only_operands || !is_option(word)) {
      if (!only_operands && word.size() > 1 && word[0] == '-') {
        throw usage_error("unknown option '" + word + "'", table.name, "options begin with two dashes.");
      }
      arguments.operands_.push_back(word);
      continue;
    }
    const std::size_t equals = word.find('=');
    const Option& option = find_option(table, word.substr(0, equals));
    std::vector<std::string>& values = arguments.values_[option.name];
    if (option.takes == Option::Takes::nothing) {
      if (equals != std::string::npos) {
        throw usage_error("the switch " + option.name + " takes no value", table.name);
      }
      continue;
    }
    std::vector<std::string> given;
    if (equals != std::string::npos) given.push_back(word.substr(equals + 1));
    const std::size_t limit = option.takes == Option::Takes::several ? words.size() : 1;
    while (equals == std::string::npos && given.size() < limit && i + 1 < words.size() &&
           !is_option(words[i + 1])) {
      given.push_back(words[++i]);
    }
    if (given.empty()) {
      throw usage_error("the option " + option.name + " needs a value (" + option.value + ")", table.name,
                        "a value that begins with two dashes is given as " + option.name + "=VALUE.");
    }
    if (option.takes == Option::Takes::one) values.clear();
    values.insert(values.end(), given.begin(), given.end());
  }
  if (arguments.wants_help()) return arguments;
  check_operands(table, arguments.operands_);
  for (const Option& option : table.options) {
    if (option.required && !arguments.has(option.name)) {
      throw usage_error("the option " + option_text(option) + " is missing", table.name, option.help);
    }
  }
  return arguments;
}

std::string Arguments::text(const std::string& option, const std::string& fallback) const {
  const auto found = values_.find(option);
  return found == values_.end() || found->second.empty() ? fallback : found->second.back();
}

std::vector<std::string> Arguments::texts(const std::string& option) const {
  const auto found = values_.find(option);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

std::int64_t Arguments::integer(const std::string& option, std::int64_t fallback, std::int64_t least,
                                std::int64_t most) const {
  return has(option) ? whole_number(command_, option, text(option), least, most) : fallback;
}

double Arguments::number(const std::string& option, double fallback, double least, double most) const {
  if (!has(option)) return fallback;
  const std::string given = text(option);
  double value = 0;
  const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
  std::ostringstream wanted;
  wanted << "a number from " << least << " to " << most;
  if (error != std::errc() || end != given.data() + given.size() || !(value >= least && value <= most)) {
    bad_number(command_, option, given, wanted.str());
  }
  return value;
}

std::vector<std::string> Arguments::list(const std::string& option, std::vector<std::string> fallback) const {
  if (!has(option)) return fallback;
  std::vector<std::string> parts;
  for (const std::string& given : texts(option)) {
    for (std::size_t begin = 0; begin <= given.size();) {
      const std::size_t end = std::min(given.find(',', begin), given.size());
      if (end == begin) throw usage_error(option + " " + given + ": a part of the list is empty", command_);
      parts.push_back(given.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return parts;
}

std::vector<std::int64_t> Arguments::integers(const std::string& option, std::vector<std::int64_t> fallback,
                                              std::int64_t least, std::int64_t most) const {
  if (!has(option)) return fallback;
  std::vector<std::int64_t> values;
  for (const std::string& part : list(option, {})) {
    values.push_back(whole_number(command_, option, part, least, most));
  }
  return values;
}

std::string folded(const std::string& text, std::size_t columns, std::size_t indent) {
  std::string result;
  std::size_t used = 0;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (used != 0 && used + 1 + word.size() > columns - indent) {
      result += "\n" + std::string(indent, ' ');
      used = 0;
    }
    if (used != 0) {
      result += ' ';
      ++used;
    }
    result += word;
    used += word.size();
  }
  return result;
}

std::string help_text(const CommandTable& table) {
  std::ostringstream out;
  out << "tessera " << table.name << ": " << table.summary << "\n\nusage: tessera " << table.name
      << operands_text(table.operands);
  for (const Option& option : table.options) {
    if (option.required) out << " " << option_text(option);
  }
  out << " [options]\n";
  if (!table.details.empty()) out << "\n" << folded(table.details, help_columns, 0) << "\n";

  std::vector<std::pair<std::string, std::string>> rows;
  if (table.operands.most > 0) rows.emplace_back(table.operands.name, table.operands.help);
  for (const Option& option : table.options) rows.emplace_back(option_text(option), option.help);
  rows.emplace_back(help_option.name, help_option.help);
  std::size_t widest = 0;
  for (const auto& row : rows) widest = std::max(widest, row.first.size());
  out << "\n";
  for (const auto& [left, right] : rows) {
    out << "  " << left << std::string(widest - left.size() + 2, ' ')
        << folded(right, help_columns, widest + 4) << "\n";
  }
  if (!table.examples.empty()) out << "\nexamples:\n";
  for (const Example& example : table.examples) {
    out << "  " << example.command << "\n      " << folded(example.meaning, help_columns, 6) << "\n";
  }
  return out.str();
}

}  // namespace tessera::launch
