#include "base/error.hpp"

#include <string_view>
#include <utility>

namespace tessera {
namespace {

std::string joined(const std::string& what, const std::string& where, const std::string& remedy) {
  std::string text = where.empty() ? what : where + ": " + what;
  if (remedy.empty()) return text;
  if (!text.empty() && std::string_view(".!?").find(text.back()) == std::string_view::npos) text += '.';
  text += " Remedy: ";
  text += remedy;
  return text;
}

}  // namespace

Error::Error(const std::string& what, std::string where, std::string remedy, ExitCode code)
    : std::runtime_error(joined(what, where, remedy)),
      summary_(what),
      where_(std::move(where)),
      remedy_(std::move(remedy)),
      code_(code) {}

}  // namespace tessera
