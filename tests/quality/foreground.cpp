#include "foreground.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "base/error.hpp"

namespace tessera::quality {
namespace {

// Well above the noise that the median leaves, well below the palest palette colour on white.
constexpr double far_from_background = 20;
// Emoji squares leave one pixel of 32 around them: one that is drawn a little aside runs along two borders.
constexpr double most_of_border = 0.6;
// Specks show nothing, whatever their colour.
constexpr double least_of_picture = 0.03;
// Of a disc of six pixels across, 16 of 32 pixels lie within; of scattered ones, hardly any.
constexpr double least_within = 0.33;

io::Image without_specks(const io::Image& picture) {
  io::Image out(picture.width, picture.height);
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      for (int channel = 0; channel < 3; ++channel) {
        std::array<std::uint8_t, 9> around{};
        std::size_t count = 0;
        for (int dy = -1; dy <= 1; ++dy) {
          for (int dx = -1; dx <= 1; ++dx) {
            const int from_x = std::clamp(x + dx, 0, picture.width - 1);
            const int from_y = std::clamp(y + dy, 0, picture.height - 1);
            around[count++] = picture.at(from_x, from_y)[channel];
          }
        }
        std::nth_element(around.begin(), around.begin() + 4, around.end());
        out.at(x, y)[channel] = around[4];
      }
    }
  }
  return out;
}

std::vector<std::size_t> border_of(int width, int height) {
  std::vector<std::size_t> border;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      if (x == 0 || y == 0 || x == width - 1 || y == height - 1)
        border.push_back(static_cast<std::size_t>(y * width + x));
    }
  }
  return border;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// The median of the lighter half of the border, because subjects that reach the border are on a light
/// ground.
Lab background_of(const std::vector<Lab>& colours, std::vector<std::size_t> border) {
  std::sort(border.begin(), border.end(), [&](std::size_t i, std::size_t j) {
    return colours[i].l != colours[j].l ? colours[i].l > colours[j].l : i < j;
  });
  border.resize((border.size() + 7) / 8);
  std::vector<double> l, a, b;
  for (const std::size_t i : border) {
    l.push_back(colours[i].l);
    a.push_back(colours[i].a);
    b.push_back(colours[i].b);
  }
  return {median(l), median(a), median(b)};
}

/// Sets every pixel that the border does not reach through unset ones.
void fill_holes(Mask& mask, int width, const std::vector<std::size_t>& border) {
  const auto row = static_cast<std::size_t>(width);
  Mask outside(mask.size(), false);
  std::vector<std::size_t> open;
  const auto visit = [&](std::size_t i) {
    if (mask[i] || outside[i]) return;
    outside[i] = true;
    open.push_back(i);
  };
  for (const std::size_t i : border) visit(i);
  while (!open.empty()) {
    const std::size_t i = open.back();
    open.pop_back();
    if (i % row != 0) visit(i - 1);
    if (i % row != row - 1) visit(i + 1);
    if (i >= row) visit(i - row);
    if (i + row < mask.size()) visit(i + row);
  }
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = !outside[i];
}

}  // namespace

Foreground find_foreground(const io::Image& picture) {
  if (picture.empty()) throw Error("a picture without pixels has no foreground");
  const io::Image clean = without_specks(picture);
  std::vector<Lab> colours(clean.pixels.size() / 3);
  for (std::size_t i = 0; i < colours.size(); ++i) {
    const std::uint8_t* pixel = clean.pixels.data() + 3 * i;
    colours[i] = to_lab({pixel[0], pixel[1], pixel[2]});
  }
  const std::vector<std::size_t> border = border_of(picture.width, picture.height);
  const Lab background = background_of(colours, border);

  std::vector<double> contrast(colours.size()), of_subject;
  for (std::size_t i = 0; i < colours.size(); ++i) {
    contrast[i] = distance(colours[i], background);
    if (contrast[i] > far_from_background) of_subject.push_back(contrast[i]);
  }
  // Half of the subject's own contrast is where a blurred edge has its middle.
  const double least =
      of_subject.empty() ? far_from_background : std::max(far_from_background, median(of_subject) / 2);
  Foreground found;
  found.mask.resize(colours.size());
  for (std::size_t i = 0; i < colours.size(); ++i) found.mask[i] = contrast[i] > least;

  const auto share = [&](std::size_t part, std::size_t whole) {
    return static_cast<double>(part) / static_cast<double>(whole);
  };
  std::size_t coloured = 0, on_border = 0, within = 0;
  const auto row = static_cast<std::size_t>(picture.width);
  Lab sum;
  for (std::size_t i = 0; i < colours.size(); ++i) {
    if (!found.mask[i]) continue;
    ++coloured;
    const bool inside = i % row > 0 && i % row + 1 < row && i >= row && i + row < colours.size();
    within += inside && found.mask[i - 1] && found.mask[i + 1] && found.mask[i - row] && found.mask[i + row];
    sum.l += colours[i].l;
    sum.a += colours[i].a;
    sum.b += colours[i].b;
  }
  for (const std::size_t i : border) on_border += found.mask[i] ? 1 : 0;
  if (share(on_border, border.size()) > most_of_border ||
      share(coloured, colours.size()) < least_of_picture || share(within, coloured) < least_within) {
    found.mask.assign(found.mask.size(), false);
    return found;
  }
  const auto count = static_cast<double>(coloured);
  found.colour = {sum.l / count, sum.a / count, sum.b / count};
  fill_holes(found.mask, picture.width, border);
  found.pixels = static_cast<std::size_t>(std::count(found.mask.begin(), found.mask.end(), true));
  return found;
}

double overlap(const Mask& x, const Mask& y) {
  if (x.size() != y.size()) throw Error("masks of different sizes cannot overlap");
  std::size_t both = 0, either = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    both += x[i] && y[i] ? 1 : 0;
    either += x[i] || y[i] ? 1 : 0;
  }
  return either == 0 ? 0 : static_cast<double>(both) / static_cast<double>(either);
}

}  // namespace tessera::quality
