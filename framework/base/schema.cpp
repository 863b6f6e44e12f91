#include "base/schema.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <type_traits>
#include <utility>

#include "base/error.hpp"
#include "base/toml_text.hpp"

namespace tessera {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "'" : ", '") + word + "'";
  return text;
}

template <class T>
constexpr bool is_scalar = std::is_arithmetic_v<T> || std::is_same_v<T, std::string>;

/// Applies `check` to a scalar or to every entry of a list; the first complaint wins.
template <class Check>
std::string first_complaint(const FieldValue& value, const Check& check) {
  return std::visit(
      [&](const auto& held) -> std::string {
        using T = std::decay_t<decltype(held)>;
        if constexpr (is_scalar<T>) {
          return check(held);
        } else {
          for (std::size_t i = 0; i < held.size(); ++i)
            if (std::string wrong = check(held[i]); !wrong.empty())
              return "entry " + std::to_string(i) + ": " + wrong;
          return {};
        }
      },
      value);
}

std::size_t entries(const FieldValue& value) {
  return std::visit(
      [](const auto& held) -> std::size_t {
        if constexpr (is_scalar<std::decay_t<decltype(held)>>)
          return 1;
        else
          return held.size();
      },
      value);
}

}  // namespace

std::string_view kind_name(FieldKind kind) {
  constexpr std::array<std::string_view, 7> names = {
      "boolean", "integer", "number", "string", "list of integers", "list of numbers", "list of strings"};
  return names[static_cast<std::size_t>(kind)];
}

Field::Field(std::string name, FieldKind kind, std::optional<FieldValue> fallback)
    : name_(std::move(name)), kind_(kind), fallback_(std::move(fallback)) {}

Field& Field::range(double lowest, double highest) {
  lowest_ = lowest;
  highest_ = highest;
  return *this;
}

Field& Field::at_least(double lowest) {
  lowest_ = lowest;
  highest_.reset();
  return *this;
}

Field& Field::length(std::size_t shortest, std::size_t longest) {
  shortest_ = shortest;
  longest_ = longest;
  return *this;
}

Field& Field::choices(std::vector<std::string> allowed) {
  choices_ = std::move(allowed);
  return *this;
}

Field& Field::unit(std::string text) {
  unit_ = std::move(text);
  return *this;
}

Field& Field::help(std::string text) {
  help_ = std::move(text);
  return *this;
}

std::string Field::allowed_text() const {
  std::string text;
  if (!choices_.empty()) {
    text = "one of " + joined(choices_);
  } else if (lowest_ && highest_) {
    text = number_text(*lowest_) + " to " + number_text(*highest_);
  } else if (lowest_) {
    text = "at least " + number_text(*lowest_);
  }
  if (shortest_) {
    if (!text.empty()) text += ", ";
    text += std::to_string(*shortest_);
    if (*longest_ != *shortest_) text += " to " + std::to_string(*longest_);
    text += *longest_ == 1 ? " entry" : " entries";
  }
  return text;
}

std::string Field::complaint(const FieldValue& value) const {
  if (shortest_) {
    const std::size_t count = entries(value);
    if (count < *shortest_ || count > *longest_)
      return std::to_string(count) + (count == 1 ? " entry" : " entries") +
             " given, allowed: " + allowed_text();
  }
  return first_complaint(value, [&](const auto& held) -> std::string {
    using T = std::decay_t<decltype(held)>;
    if constexpr (std::is_same_v<T, std::string>) {
      if (choices_.empty() || std::find(choices_.begin(), choices_.end(), held) != choices_.end()) return {};
      std::string text = "'" + held + "' is not " + allowed_text();
      if (const auto near = nearest_word(held, choices_)) text += "; did you mean '" + *near + "'?";
      return text;
    } else if constexpr (std::is_same_v<T, bool>) {
      return {};
    } else {
      const auto x = static_cast<double>(held);
      if (std::isnan(x)) return "nan is not a usable number";
      if ((lowest_ && x < *lowest_) || (highest_ && x > *highest_))
        return to_toml_text(FieldValue(held)) + " is outside the allowed range, " + allowed_text();
      return {};
    }
  });
}

Schema::Schema(std::string name, std::string description)
    : name_(std::move(name)), description_(std::move(description)) {}

Field& Schema::add(std::string name, FieldKind kind, std::optional<FieldValue> fallback) {
  if (find(name))
    throw Error("the key '" + name + "' is declared twice", "schema '" + name_ + "'",
                "remove one of the declarations");
  return fields_.emplace_back(std::move(name), kind, std::move(fallback));
}

Field& Schema::boolean(std::string name, std::optional<bool> fallback) {
  return add(std::move(name), FieldKind::boolean, fallback);
}
Field& Schema::integer(std::string name, std::optional<std::int64_t> fallback) {
  return add(std::move(name), FieldKind::integer, fallback);
}
Field& Schema::number(std::string name, std::optional<double> fallback) {
  return add(std::move(name), FieldKind::number, fallback);
}
Field& Schema::string(std::string name, std::optional<std::string> fallback) {
  return add(std::move(name), FieldKind::string, std::move(fallback));
}
Field& Schema::integers(std::string name) { return add(std::move(name), FieldKind::integer_list, {}); }
Field& Schema::integers(std::string name, std::vector<std::int64_t> fallback) {
  return add(std::move(name), FieldKind::integer_list, std::move(fallback));
}
Field& Schema::numbers(std::string name) { return add(std::move(name), FieldKind::number_list, {}); }
Field& Schema::numbers(std::string name, std::vector<double> fallback) {
  return add(std::move(name), FieldKind::number_list, std::move(fallback));
}
Field& Schema::strings(std::string name) { return add(std::move(name), FieldKind::string_list, {}); }
Field& Schema::strings(std::string name, std::vector<std::string> fallback) {
  return add(std::move(name), FieldKind::string_list, std::move(fallback));
}

const Field* Schema::find(std::string_view name) const {
  for (const Field& field : fields_)
    if (field.name() == name) return &field;
  return nullptr;
}

std::optional<std::string> nearest_word(std::string_view word, const std::vector<std::string>& candidates) {
  std::optional<std::string> best;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& other : candidates) {
    // optimal string alignment; row[i][j] = distance of the first i letters of word to the first j of other
    std::vector<std::vector<std::size_t>> row(word.size() + 1, std::vector<std::size_t>(other.size() + 1));
    for (std::size_t i = 0; i <= word.size(); ++i) {
      for (std::size_t j = 0; j <= other.size(); ++j) {
        if (i == 0 || j == 0) {
          row[i][j] = i + j;
          continue;
        }
        const std::size_t change = word[i - 1] == other[j - 1] ? 0 : 1;
        row[i][j] = std::min({row[i - 1][j] + 1, row[i][j - 1] + 1, row[i - 1][j - 1] + change});
        if (i > 1 && j > 1 && word[i - 1] == other[j - 2] && word[i - 2] == other[j - 1])
          row[i][j] = std::min(row[i][j], row[i - 2][j - 2] + 1);
      }
    }
    const std::size_t distance = row[word.size()][other.size()];
    if (distance < least && distance < std::max(word.size(), other.size())) {
      least = distance;
      best = other;
    }
  }
  return best;
}

}  // namespace tessera
