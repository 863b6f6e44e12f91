#include "self_test.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "disturbances.hpp"
#include "real_pictures.hpp"
#include "scorer.hpp"

namespace tessera::quality {
namespace {

/// The corners of sRGB in CIE L*a*b* (D65), as tables of the colour space print them.
double worst_conversion() {
  struct Known {
    io::Rgb colour;
    Lab lab;
  };
  constexpr std::array<Known, 6> known{{{{255, 255, 255}, {100, 0, 0}},
                                        {{0, 0, 0}, {0, 0, 0}},
                                        {{255, 0, 0}, {53.24, 80.09, 67.20}},
                                        {{0, 255, 0}, {87.73, -86.18, 83.18}},
                                        {{0, 0, 255}, {32.30, 79.19, -107.86}},
                                        {{128, 128, 128}, {53.59, 0, 0}}}};
  double worst = 0;
  for (const Known& one : known) worst = std::max(worst, distance(to_lab(one.colour), one.lab));
  return worst;
}

void add(Shares& shares, const Verdict& verdict) {
  shares.colour += verdict.colour_right ? 1 : 0;
  shares.shape += verdict.shape_right ? 1 : 0;
  shares.both += verdict.right() ? 1 : 0;
  shares.shape_nearest += verdict.shape_nearest ? 1 : 0;
}

Shares divided(const Shares& shares, std::size_t count) {
  const auto n = static_cast<double>(count);
  return {shares.colour / n, shares.shape / n, shares.both / n, shares.shape_nearest / n};
}

/// @param shown  the pictures to judge: `real`, disturbed or not, in the same order.
SelfTestRow judge_all(const std::vector<RealPicture>& real, const std::vector<io::Image>& shown) {
  SelfTestRow row;
  row.pictures = real.size();
  std::size_t others = 0, shape_others = 0;
  double other_shape = 0;
  for (std::size_t i = 0; i < real.size(); ++i) {
    std::vector<RealPicture> rest = real;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    const Scorer scorer(rest);
    for (std::size_t j = 0; j < real.size(); ++j) {
      const Verdict verdict = scorer.judge(shown[i], real[j].subject);
      if (i == j) {
        add(row.right, verdict);
        continue;
      }
      add(row.permuted, verdict);
      ++others;
      if (real[i].subject.shape == real[j].subject.shape) continue;
      ++shape_others;
      other_shape += verdict.shape_nearest ? 1 : 0;
    }
  }
  row.right = divided(row.right, real.size());
  row.permuted = divided(row.permuted, others);
  row.other_shape = other_shape / static_cast<double>(shape_others);
  return row;
}

}  // namespace

bool SelfTestRow::passed() const {
  return std::min({right.colour, right.shape, right.both, right.shape_nearest}) >= least_on_real &&
         std::max({permuted.colour, permuted.both, other_shape}) <= most_on_permuted;
}

bool SelfTest::passed() const {
  return !rows.empty() && empty_judged_right == 0 && worst_colour <= most_colour_error &&
         std::all_of(rows.begin(), rows.end(), [](const SelfTestRow& row) { return row.passed(); });
}

SelfTest self_test() {
  SelfTest result;
  result.worst_colour = worst_conversion();
  for (const int side : {32, 64}) {
    const std::vector<RealPicture> real = real_pictures(side);
    for (const Disturbance& disturbance : disturbances()) {
      std::vector<io::Image> shown;
      for (std::size_t i = 0; i < real.size(); ++i)
        shown.push_back(disturbance.of(real[i].image, static_cast<std::uint32_t>(i)));
      SelfTestRow row = judge_all(real, shown);
      row.side = side;
      row.condition = disturbance.name;
      result.rows.push_back(std::move(row));
    }

    const Scorer scorer(real);
    std::vector<io::Image> empty{io::Image(side, side), io::Image(side, side, {200, 30, 30})};
    for (const double deviation : {20.0, 60.0, 120.0}) {
      for (std::uint32_t seed = 0; seed < 4; ++seed)
        empty.push_back(noise_picture({side, side}, deviation, seed));
    }
    result.empty_pictures += empty.size();
    for (const io::Image& picture : empty) {
      const bool passes = std::any_of(real.begin(), real.end(), [&](const RealPicture& one) {
        const Verdict verdict = scorer.judge(picture, one.subject);
        return verdict.colour_right || verdict.shape_right;
      });
      result.empty_judged_right += passes ? 1 : 0;
    }
  }
  return result;
}

}  // namespace tessera::quality
