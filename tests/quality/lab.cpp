#include "lab.hpp"

#include <cmath>
#include <cstdint>

namespace tessera::quality {
namespace {

double linear(std::uint8_t stored) {
  const double v = stored / 255.0;
  return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
}

/// The cube root of CIE 15, with the straight piece near zero.
double compressed(double t) {
  constexpr double edge = 6.0 / 29.0;
  return t > edge * edge * edge ? std::cbrt(t) : t / (3 * edge * edge) + 4.0 / 29.0;
}

}  // namespace

Lab to_lab(io::Rgb colour) {
  const double r = linear(colour.r), g = linear(colour.g), b = linear(colour.b);
  // Each row is divided by its sum, the white point, so that greys come out exactly neutral.
  const double x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / (0.4124 + 0.3576 + 0.1805);
  const double y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  const double z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / (0.0193 + 0.1192 + 0.9505);
  const double fx = compressed(x), fy = compressed(y), fz = compressed(z);
  return {116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)};
}

double distance(const Lab& x, const Lab& y) { return std::hypot(x.l - y.l, x.a - y.a, x.b - y.b); }

}  // namespace tessera::quality
