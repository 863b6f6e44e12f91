// Masking "random": the tokens with the smallest draws are kept, in the order of their draws.

#include <algorithm>
#include <numeric>

#include "plugin/abi.hpp"
#include "plugin/slots/masking.hpp"

namespace tessera {
namespace {

class RandomMasking : public Masking {
 public:
  std::vector<std::int32_t> order(const float* uniform, std::int64_t rows, std::int64_t columns,
                                  std::int64_t) const override {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(rows * columns));
    std::iota(tokens.begin(), tokens.end(), 0);
    // The token index breaks ties, so that the order never depends on the sorting algorithm.
    std::sort(tokens.begin(), tokens.end(), [uniform](std::int32_t a, std::int32_t b) {
      return uniform[a] < uniform[b] || (uniform[a] == uniform[b] && a < b);
    });
    return tokens;
  }
};

void list(std::vector<Component>& out) {
  Schema schema("random", "Keeps tokens at random, independently of their place");
  out.push_back(component<Masking>(std::move(schema), [](const Config&, const Masking::Spec&, Assembly&) {
    return std::make_unique<RandomMasking>();
  }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("masking_random", "1.0", tessera::list)
