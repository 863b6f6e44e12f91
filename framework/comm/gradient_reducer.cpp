#include "comm/gradient_reducer.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "comm/ordered_sums.hpp"

namespace tessera::comm {
namespace {

constexpr std::size_t smallest_bucket = 16;  // elements

std::vector<Slice> cut_into_buckets(std::size_t elements, std::size_t bucket_elements) {
  std::vector<Slice> buckets;
  for (std::size_t begin = 0; begin < elements; begin += bucket_elements) {
    buckets.push_back({begin, std::min(begin + bucket_elements, elements)});
  }
  return buckets;
}

/// All-reduces pieces of the buckets, a few at a time in the order of their naming.
class AllReducer final : public GradientReducer {
 public:
  AllReducer(const Communicator& world, Communicator sharers, const SharedArena& memory, DType type,
             std::size_t elements, std::size_t bucket_bytes)
      : GradientReducer(world, std::move(sharers), memory, type, elements, bucket_bytes) {}

  void progress() override {
    while (!flying_.empty() && flying_.front().test()) flying_.pop_front();
    launch();
  }

 private:
  // More at once gains nothing (the pieces share one memory bus), and costs a scratch buffer each.
  static constexpr std::size_t flying_at_most = 2;

  void start(Slice bucket) override {
    const std::size_t step = piece_bytes / size_of(dtype());
    for (std::size_t begin = bucket.begin; begin < bucket.end; begin += step) {
      waiting_.push_back({begin, std::min(begin + step, bucket.end)});
    }
    progress();
  }

  void complete() override {
    while (!flying_.empty() || !waiting_.empty()) {
      launch();
      flying_.front().wait();
      flying_.pop_front();
    }
  }

  void launch() {
    while (flying_.size() < flying_at_most && !waiting_.empty()) {
      const Slice piece = waiting_.front();
      waiting_.pop_front();
      dispatch_gradient_type(dtype(), [&]<class T>(T*) {
        T* const values = reinterpret_cast<T*>(gradients().data());
        flying_.push_back(world().start_all_reduce_sum(std::span(values + piece.begin, piece.size())));
      });
    }
  }

  std::deque<Slice> waiting_;
  std::deque<PendingReduction> flying_;
};

/// Adds the segments of the node's ranks, each rank its slice into its own segment. Nothing happens during
/// backward: the sum runs on the same cores, and is cheaper than one more copy of the gradients.
class WindowReducer final : public GradientReducer {
 public:
  WindowReducer(const Communicator& world, const SharedArena& memory, DType type, std::size_t elements,
                std::size_t bucket_bytes)
      : GradientReducer(world, world, memory, type, elements, bucket_bytes) {}

  void progress() override {}

 private:
  void start(Slice) override {}

  void complete() override {
    // Every rank has entered finish(), so all gradients are written. Rank r reads slice r of every segment
    // and writes slice r of its own: no rank reads what another writes.
    dispatch_gradient_type(dtype(), [&]<class T>(T*) {
      std::vector<const T*> sources;
      for (int r = 0; r < world().size(); ++r) {
        sources.push_back(reinterpret_cast<const T*>(gradients().segment(r)) + my_slice().begin);
      }
      add_in_order(sources, reinterpret_cast<T*>(gradients().data()) + my_slice().begin, my_slice().size());
    });
  }
};

}  // namespace

Placement gradient_placement(const Communicator& world) {
  if (world.size() == 1 || !world.on_one_node()) return Placement::private_memory;
  return SharedArena::supported(world) ? Placement::per_rank : Placement::private_memory;
}

GradientReducer::GradientReducer(Communicator world, Communicator sharers, SharedArena gradients, DType dtype,
                                 std::size_t elements, std::size_t bucket_bytes)
    : SummedGradients(std::move(world), std::move(sharers), std::move(gradients), dtype, elements),
      buckets_(cut_into_buckets(elements, std::max(bucket_bytes / size_of(dtype), smallest_bucket))),
      named_(buckets_.size(), false) {}

void GradientReducer::bucket_ready(std::size_t index) {
  if (named_.at(index)) {
    throw Error("gradient bucket " + std::to_string(index) + " was completed twice in one step",
                "gradient reduction", "Name each bucket once, in the last micro-batch of the step.");
  }
  named_[index] = true;
  while (first_unnamed_ < named_.size() && named_[first_unnamed_]) ++first_unnamed_;
  start(buckets_[index]);
}

void GradientReducer::ready_up_to(std::size_t element) {
  for (std::size_t i = first_unnamed_; i < buckets_.size() && buckets_[i].end <= element; ++i) {
    if (!named_[i]) bucket_ready(i);
  }
}

void GradientReducer::finish() {
  if (!buckets_.empty()) ready_up_to(buckets_.back().end);
  // A rank that still computes may read the parameters that this one is about to update, whether or not its
  // gradients have arrived.
  if (sharers().size() > 1) sharers().barrier();
  complete();
}

void GradientReducer::publish() {
  named_.assign(named_.size(), false);
  first_unnamed_ = 0;
  SummedGradients::publish();
}

std::unique_ptr<GradientReducer> make_gradient_reducer(const Communicator& world,
                                                       const SharedArena& gradients, DType dtype,
                                                       std::size_t elements,
                                                       const GradientReducerOptions& options) {
  constexpr const char* where = "gradient reduction";
  switch (gradients.placement()) {
    case Placement::per_rank:
      if (!world.on_one_node()) {
        throw Error("gradients in a window that one node shares, but the ranks are on several", where,
                    "Place the gradients with gradient_placement().");
      }
      return std::make_unique<WindowReducer>(world, gradients, dtype, elements, options.bucket_bytes);
    case Placement::private_memory:
      return std::make_unique<AllReducer>(world, options.shared_parameters ? world.node() : world.alone(),
                                          gradients, dtype, elements, options.bucket_bytes);
    case Placement::shared:
      break;
  }
  throw Error("every rank needs gradients of its own, but the arena is one for the whole node", where,
              "Place the gradients with gradient_placement().");
}

}  // namespace tessera::comm
