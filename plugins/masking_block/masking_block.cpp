// Masking "block": neighbouring tokens are kept or dropped together (the MicroDiT paper's ablation).

#include <algorithm>
#include <cmath>
#include <numeric>

#include "plugin/abi.hpp"
#include "plugin/slots/masking.hpp"

namespace tessera {
namespace {

class BlockMasking : public Masking {
 public:
  explicit BlockMasking(std::int64_t side) : side_(side) {}

  std::vector<std::int32_t> order(const float* uniform, std::int64_t rows, std::int64_t columns,
                                  std::int64_t kept) const override {
    const std::vector<float> key = 2 * side_ >= std::min(rows, columns)
                                       ? square_keys(uniform, rows, columns, kept)
                                       : group_keys(uniform, rows, columns);
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(rows * columns));
    std::iota(tokens.begin(), tokens.end(), 0);
    std::sort(tokens.begin(), tokens.end(), [&key](std::int32_t a, std::int32_t b) {
      const float ka = key[static_cast<std::size_t>(a)];
      const float kb = key[static_cast<std::size_t>(b)];
      return ka < kb || (ka == kb && a < b);
    });
    return tokens;
  }

 private:
  /// Every token has the draw of its group's first token.
  std::vector<float> group_keys(const float* uniform, std::int64_t rows, std::int64_t columns) const {
    std::vector<float> key(static_cast<std::size_t>(rows * columns));
    for (std::int64_t y = 0; y < rows; ++y) {
      for (std::int64_t x = 0; x < columns; ++x) {
        key[static_cast<std::size_t>(y * columns + x)] =
            uniform[(y / side_ * side_) * columns + x / side_ * side_];
      }
    }
    return key;
  }

  /// With groups of half the grid only four masks would exist; one square anywhere is drawn instead, of the
  /// side that covers `kept` tokens, its corner given by the first two draws.
  static std::vector<float> square_keys(const float* uniform, std::int64_t rows, std::int64_t columns,
                                        std::int64_t kept) {
    const auto wanted = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(kept))));
    const std::int64_t height = std::min(wanted, rows);
    const std::int64_t width = std::min(columns, height == 0 ? 0 : (kept + height - 1) / height);
    const auto corner = [](float draw, std::int64_t places) {
      return std::min(places - 1,
                      static_cast<std::int64_t>(static_cast<double>(draw) * static_cast<double>(places)));
    };
    const std::int64_t top = corner(uniform[0], rows - height + 1);
    const std::int64_t left = corner(uniform[1], columns - width + 1);
    std::vector<float> key(static_cast<std::size_t>(rows * columns), 1.0F);
    for (std::int64_t y = top; y < top + height; ++y) {
      for (std::int64_t x = left; x < left + width; ++x)
        key[static_cast<std::size_t>(y * columns + x)] = 0.0F;
    }
    return key;
  }

  std::int64_t side_;
};

void list(std::vector<Component>& out) {
  Schema schema("block", "Keeps or drops square groups of neighbouring tokens together");
  schema.integer("side", 2).range(1, 4096).unit("tokens").help(
      "Side of a group. From half the grid on, one contiguous square is kept instead.");
  out.push_back(
      component<Masking>(std::move(schema), [](const Config& config, const Masking::Spec&, Assembly&) {
        return std::make_unique<BlockMasking>(config.get<std::int64_t>("side"));
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("masking_block", "1.0", tessera::list)
