#include "comm/scattered_gradients.hpp"

#include <utility>

namespace tessera::comm {

ScatteredGradients::ScatteredGradients(const Communicator& world, const Communicator& sharers,
                                       const SharedArena& gradients, DType dtype,
                                       std::shared_ptr<const Sharding> sharding)
    : SummedGradients(world, world, gradients, dtype, sharding->elements_below_border(),
                      sharding->my_parts()),
      sharding_(std::move(sharding)),
      sharers_(sharers),
      scatter_(world, sharding_, all()) {}

void ScatteredGradients::ready_up_to(std::size_t element) {
  for (; next_bucket_ < sharding_->buckets_below_border(); ++next_bucket_) {
    const Slice bucket = sharding_->buckets()[next_bucket_];
    if (bucket.end > element) return;
    scatter_.start(
        next_bucket_,
        all().slice(static_cast<std::int64_t>(bucket.begin), static_cast<std::int64_t>(bucket.end)), false);
  }
}

void ScatteredGradients::finish() {
  ready_up_to(sharding_->elements());
  scatter_.wait();
  sharers_.barrier();  // nobody reads the parameters any more that the others update
}

void ScatteredGradients::publish() {
  next_bucket_ = 0;
  sharers_.barrier();
}

}  // namespace tessera::comm
