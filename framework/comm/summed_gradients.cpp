#include "comm/summed_gradients.hpp"

#include <string>
#include <utility>

#include "base/error.hpp"
#include "comm/ordered_sums.hpp"

namespace tessera::comm {
namespace {

// Slices start on a cache line and a vector of either element type.
constexpr std::size_t granule = 16;

}  // namespace

SummedGradients::SummedGradients(Communicator world, Communicator sharers, SharedArena gradients, DType dtype,
                                 std::size_t elements)
    : SummedGradients(std::move(world), sharers, std::move(gradients), dtype, elements,
                      std::vector{slice_of(elements, sharers.rank(), sharers.size(), granule)}) {}

SummedGradients::SummedGradients(Communicator world, Communicator sharers, SharedArena gradients, DType dtype,
                                 std::size_t elements, std::vector<Slice> parts)
    : world_(std::move(world)),
      sharers_(std::move(sharers)),
      gradients_(std::move(gradients)),
      dtype_(dtype),
      parts_(std::move(parts)) {
  if (dtype != DType::f32 && dtype != DType::f64) {
    throw Error(std::string("gradients are summed in float32 or float64, not ") + name_of(dtype),
                "gradient reduction");
  }
  if (elements * size_of(dtype) > gradients_.bytes()) {
    throw Error("the arena of " + std::to_string(gradients_.bytes()) + " bytes is too small for " +
                    std::to_string(elements) + ' ' + name_of(dtype) + " gradients",
                "gradient reduction");
  }
}

double SummedGradients::sum_of_squares() const {
  double sum = 0.0;
  dispatch_gradient_type(dtype_, [&]<class T>(T*) {
    for (const Slice part : parts_) {
      sum += comm::sum_of_squares(reinterpret_cast<const T*>(gradients_.data()) + part.begin, part.size());
    }
  });
  return sharers_.ordered_sum(sum);
}

Tensor SummedGradients::all() const {
  const auto elements = static_cast<std::int64_t>(gradients_.bytes() / size_of(dtype_));
  return Tensor::wrap(gradients_.data(), {elements}, dtype_, gradients_.owner());
}

void SummedGradients::publish() {
  if (sharers_.size() > 1) sharers_.barrier();
}

}  // namespace tessera::comm
