#include "datasets/features/npy.hpp"

#include <charconv>
#include <cstring>

#include "base/error.hpp"
#include "data/half.hpp"
#include "io/file.hpp"

namespace tessera::datasets::features {
namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::uint64_t most_values = std::uint64_t{1} << 32;

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw Error("this array cannot be read: " + why + ".", name,
              "Save it with numpy.save as float16, float32 or float64 in C order.");
}

/// What follows "'key':" in the header, a Python dictionary as text.
std::string_view entry(std::string_view header, std::string_view key, const std::string& name) {
  const std::string quoted = "'" + std::string(key) + "'";
  const std::size_t at = header.find(quoted);
  const std::size_t colon = at == std::string_view::npos ? at : header.find(':', at + quoted.size());
  if (colon == std::string_view::npos) refuse(name, "its header has no " + quoted);
  std::string_view rest = header.substr(colon + 1);
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  return rest;
}

std::vector<std::uint64_t> shape_of(std::string_view text, const std::string& name) {
  const std::size_t close = text.find(')');
  if (text.empty() || text.front() != '(' || close == std::string_view::npos)
    refuse(name, "its shape is not understood");
  text = text.substr(1, close - 1);
  std::vector<std::uint64_t> shape;
  std::uint64_t values = 1;
  while (!text.empty()) {
    if (text.front() == ' ' || text.front() == ',') {
      text.remove_prefix(1);
      continue;
    }
    std::uint64_t side = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), side);
    if (problem != std::errc() || side == 0) refuse(name, "its shape is not understood, or empty");
    if (side > most_values / values) refuse(name, "it has more than 2^32 values");
    values *= side;
    shape.push_back(side);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
  return shape;
}

/// The header's text; `bytes` is left with the values.
std::string_view take_header(std::string_view& bytes, const std::string& name) {
  if (!bytes.starts_with(magic) || bytes.size() < 12) refuse(name, "it is no .npy file");
  const int version = bytes[6];
  if (version < 1 || version > 3) refuse(name, "its format version is unknown");
  const std::size_t width = version == 1 ? 2 : 4;
  std::size_t length = 0;
  for (std::size_t i = 0; i < width; ++i) {
    length |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[8 + i])) << (8 * i);
  }
  bytes.remove_prefix(8 + width);
  if (length > bytes.size()) refuse(name, "its header is cut off");
  const std::string_view header = bytes.substr(0, length);
  bytes.remove_prefix(length);
  return header;
}

template <class T>
void convert(std::string_view bytes, std::vector<float>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    T value{};
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = static_cast<float>(value);
  }
}

}  // namespace

std::string shape_text(const std::vector<std::uint64_t>& shape) {
  std::string text;
  for (const std::uint64_t side : shape) text += (text.empty() ? "" : " x ") + std::to_string(side);
  return text.empty() ? "a single number" : text;
}

NpyArray parse_npy(std::string_view bytes, const std::string& name) {
  const std::string_view header = take_header(bytes, name);
  const std::string_view type = entry(header, "descr", name).substr(0, 5);
  if (!entry(header, "fortran_order", name).starts_with("False")) refuse(name, "it is not in C order");
  std::size_t size = 0;
  if (type == "'<f2'") size = 2;
  if (type == "'<f4'") size = 4;
  if (type == "'<f8'") size = 8;
  if (size == 0) refuse(name, "its type " + std::string(type) + " is no little-endian float");
  NpyArray array;
  array.shape = shape_of(entry(header, "shape", name), name);
  std::uint64_t count = 1;
  for (const std::uint64_t side : array.shape) count *= side;
  if (bytes.size() != count * size) {
    refuse(name, "it holds " + std::to_string(bytes.size()) + " bytes where " + shape_text(array.shape) +
                     " values take " + std::to_string(count * size));
  }
  array.values.resize(count);
  if (size == 2) {
    std::vector<std::uint16_t> halves(count);
    std::memcpy(halves.data(), bytes.data(), bytes.size());
    data::float_from_half(halves.data(), array.values.data(), halves.size());
  } else if (size == 4) {
    convert<float>(bytes, array.values);
  } else {
    convert<double>(bytes, array.values);
  }
  return array;
}

NpyArray read_npy(const std::string& path) { return parse_npy(io::read_file(path), path); }

}  // namespace tessera::datasets::features
