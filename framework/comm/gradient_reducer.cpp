#include "comm/gradient_reducer.hpp"

#include <algorithm>
#include <span>
#include <string>

#include "base/activity.hpp"
#include "base/error.hpp"
#include "base/timeline.hpp"

namespace tessera::comm {
namespace {

constexpr const char* where = "gradient reduction";
constexpr std::size_t smallest_bucket = 16;  // elements

// More at once gains nothing (the pieces share one memory bus), and costs a scratch buffer each.
constexpr std::size_t flying_at_most = 2;

std::vector<Slice> cut_into_buckets(std::size_t elements, std::size_t bucket_elements) {
  std::vector<Slice> buckets;
  for (std::size_t begin = 0; begin < elements; begin += bucket_elements) {
    buckets.push_back({begin, std::min(begin + bucket_elements, elements)});
  }
  return buckets;
}

}  // namespace

GradientReducer::GradientReducer(const Communicator& world, const SharedArena& gradients, DType dtype,
                                 std::size_t elements, const GradientReducerOptions& options)
    : SummedGradients(world, options.shared_parameters ? world.node() : world.alone(), gradients, dtype,
                      elements),
      buckets_(cut_into_buckets(elements, std::max(options.bucket_bytes / size_of(dtype), smallest_bucket))),
      named_(buckets_.size(), false) {
  if (gradients.placement() != Placement::private_memory) {
    throw Error("every rank needs gradients of its own, but the arena is one for the whole node", where,
                "Place the gradients in private memory.");
  }
}

void GradientReducer::bucket_ready(std::size_t index) {
  if (named_.at(index)) {
    throw Error("gradient bucket " + std::to_string(index) + " was completed twice in one step", where,
                "Name each bucket once, in the last micro-batch of the step.");
  }
  named_[index] = true;
  while (first_unnamed_ < named_.size() && named_[first_unnamed_]) ++first_unnamed_;
  const Slice bucket = buckets_[index];
  const std::size_t step = piece_bytes / size_of(dtype());
  for (std::size_t begin = bucket.begin; begin < bucket.end; begin += step) {
    const std::size_t end = std::min(begin + step, bucket.end);
    waiting_.push_back({{begin, end}, index, begin == bucket.begin, end == bucket.end});
  }
  progress();
}

void GradientReducer::ready_up_to(std::size_t element) {
  for (std::size_t i = first_unnamed_; i < buckets_.size() && buckets_[i].end <= element; ++i) {
    if (!named_[i]) bucket_ready(i);
  }
}

void GradientReducer::progress() {
  while (!flying_.empty() && flying_.front().reduction.test()) land();
  launch();
}

void GradientReducer::land() {
  const Piece piece = flying_.front().piece;
  flying_.pop_front();
  if (!piece.last) return;
  if (timeline().on()) {
    timeline().add({"reduce bucket", TimelineEvent::flight, started_.front(), timeline().now(),
                    static_cast<std::int64_t>(piece.bucket)});
  }
  started_.pop_front();
}

void GradientReducer::launch() {
  while (flying_.size() < flying_at_most && !waiting_.empty()) {
    const Piece piece = waiting_.front();
    waiting_.pop_front();
    if (piece.first) started_.push_back(timeline().now());
    dispatch_gradient_type(dtype(), [&]<class T>(T*) {
      T* const values = reinterpret_cast<T*>(gradients().data());
      const std::span<T> own(values + piece.elements.begin, piece.elements.size());
      flying_.push_back({piece, world().start_all_reduce_sum(own)});
    });
  }
}

void GradientReducer::finish() {
  if (!buckets_.empty()) ready_up_to(buckets_.back().end);
  // A rank that still computes may read the parameters that this one is about to update, whether or not its
  // gradients have arrived.
  if (sharers().size() > 1) sharers().barrier();
  while (!flying_.empty() || !waiting_.empty()) {
    launch();
    const Doing doing("sum of gradient bucket " + std::to_string(flying_.front().piece.bucket),
                      Doing::Kind::wait);
    flying_.front().reduction.wait();
    land();
  }
}

void GradientReducer::publish() {
  named_.assign(named_.size(), false);
  first_unnamed_ = 0;
  SummedGradients::publish();
}

}  // namespace tessera::comm
