#include "comm/passed_gradients.hpp"

#include <string>
#include <utility>

#include "base/error.hpp"

namespace tessera::comm {
namespace {

constexpr const char* where = "gradient reduction";

}  // namespace

PassedGradients::PassedGradients(const Communicator& world, const Communicator& sharers,
                                 const SharedArena& gradients, DType dtype,
                                 std::shared_ptr<const Sharding> sharding, std::vector<Slice> ranges,
                                 std::size_t queue_bytes)
    : SummedGradients(world, world, gradients, dtype, sharding->elements_below_border(),
                      sharding->my_parts()),
      sharding_(std::move(sharding)),
      sharers_(sharers),
      ranges_(std::move(ranges)),
      queue_bytes_(queue_bytes),
      scatter_(world, sharding_, all()) {}

void PassedGradients::contribute(std::size_t range, const Tensor& gradient) {
  const Slice elements = ranges_.at(range);
  if (range != next_) {
    throw Error("parameter " + std::to_string(range) + " contributes its gradient in the turn of parameter " +
                    std::to_string(next_),
                where, "Contribute to all ranges in order, an undefined tensor where no gradient arose.");
  }
  if (gradient.defined() &&
      (gradient.dtype() != dtype() || static_cast<std::size_t>(gradient.numel()) != elements.size())) {
    throw Error("a gradient of " + std::to_string(gradient.numel()) + ' ' + name_of(gradient.dtype()) +
                    " for a range of " + std::to_string(elements.size()) + ' ' + name_of(dtype()),
                where);
  }
  // All ranks start the same buckets in the same order: who waits, waits for ranks that have not come as far.
  scatter_.wait_until_kept(queue_bytes_);
  const std::size_t bucket = sharding_->bucket_of(elements.begin);
  const bool first = range == 0 || sharding_->bucket_of(ranges_[range - 1].begin) != bucket;
  const bool last = range + 1 == ranges_.size() || sharding_->bucket_of(ranges_[range + 1].begin) != bucket;
  if (first && last && gradient.defined()) {
    scatter_.start(bucket, gradient.view({gradient.numel()}), !first_round_);
  } else {
    if (first) {
      collected_ = Tensor::zeros(
          {static_cast<std::int64_t>(last ? elements.size() : sharding_->buckets()[bucket].size())}, dtype());
    }
    collect(range, bucket, gradient);
    if (last) scatter_.start(bucket, std::exchange(collected_, Tensor()), !first_round_);
  }
  next_ = range + 1;
  if (next_ < ranges_.size()) return;
  next_ = 0;
  first_round_ = false;
}

void PassedGradients::collect(std::size_t range, std::size_t bucket, const Tensor& gradient) {
  if (!gradient.defined()) return;
  const auto begin = static_cast<std::int64_t>(ranges_[range].begin - sharding_->buckets()[bucket].begin);
  collected_.slice(begin, begin + gradient.numel()).copy_from(gradient.view({gradient.numel()}));
}

void PassedGradients::finish() {
  if (next_ != 0) {
    throw Error("only " + std::to_string(next_) + " of " + std::to_string(ranges_.size()) +
                    " parameters received a gradient in the last micro-batch",
                where);
  }
  scatter_.wait();
  sharers_.barrier();  // nobody reads the parameters any more that the others update
}

void PassedGradients::publish() {
  first_round_ = true;
  sharers_.barrier();
}

}  // namespace tessera::comm
