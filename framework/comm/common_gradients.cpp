#include "comm/common_gradients.hpp"

#include <sched.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/activity.hpp"
#include "base/error.hpp"
#include "base/timeline.hpp"
#include "comm/ordered_sums.hpp"

namespace tessera::comm {
namespace {

constexpr const char* where = "gradient reduction";

// Small enough that a rank's second look at the sums finds them in its own cache, and the next rank in the
// shared one; large enough to make the turns cheap.
constexpr std::size_t turn_bytes = std::size_t{256} << 10;

std::size_t pieces_in(Slice range, DType dtype) {
  const std::size_t step = turn_bytes / size_of(dtype);
  return (range.size() + step - 1) / step;
}

Slice piece_of(Slice range, std::size_t index, DType dtype) {
  const std::size_t step = turn_bytes / size_of(dtype);
  const std::size_t begin = range.begin + index * step;
  return {begin, std::min(begin + step, range.end)};
}

std::vector<std::size_t> first_pieces(const std::vector<Slice>& ranges, DType dtype) {
  std::vector<std::size_t> first{0};
  for (const Slice range : ranges) first.push_back(first.back() + pieces_in(range, dtype));
  return first;
}

}  // namespace

std::vector<int> deal_evenly(const std::vector<std::size_t>& sizes, int ranks) {
  std::vector<std::size_t> load(static_cast<std::size_t>(ranks), 0);
  std::vector<int> dealt;
  for (const std::size_t size : sizes) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += size;
    dealt.push_back(static_cast<int>(least - load.begin()));
  }
  return dealt;
}

CommonGradients::CommonGradients(const Communicator& world, const SharedArena& gradients, DType dtype,
                                 std::size_t elements, std::vector<Slice> ranges,
                                 std::vector<int> first_ranks, std::size_t queue_bytes)
    : SummedGradients(world, world, gradients, dtype, elements),
      ranges_(std::move(ranges)),
      first_rank_(std::move(first_ranks)),
      queue_limit_(queue_bytes),
      first_piece_(first_pieces(ranges_, dtype)),
      pieces_arena_(world,
                    std::max<std::size_t>(first_piece_.back(), 1) * (sizeof(*turns_) + sizeof(*squares_)),
                    Placement::shared),
      turns_(reinterpret_cast<std::atomic<std::uint64_t>*>(pieces_arena_.data())),
      squares_(reinterpret_cast<double*>(turns_ + first_piece_.back())),
      rounds_(ranges_.size(), 0),
      step_rounds_(ranges_.size(), 0) {
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "the turns are passed between processes");
  expect_host_memory("summing gradients in turns");
  if (world.size() > 1 && (gradients.placement() != Placement::shared || !world.on_one_node())) {
    throw Error("gradients that exist once per node need all ranks on one node and a shared arena", where,
                "Give every rank an arena of its own, and sum them with a GradientReducer.");
  }
  for (const Slice range : ranges_) {
    if (range.begin > range.end || range.end > elements) {
      throw Error("the range of a parameter lies outside the gradients", where);
    }
  }
  const auto known = [&](int rank) { return rank >= 0 && rank < world.size(); };
  if (first_rank_.size() != ranges_.size() || !std::ranges::all_of(first_rank_, known)) {
    throw Error("every range needs a rank that comes first in its order", where,
                "Deal the ranges to the ranks with deal_evenly().");
  }
}

std::uint64_t CommonGradients::position(std::size_t range) const {
  return static_cast<std::uint64_t>((world().rank() - first_rank_[range] + world().size()) % world().size());
}

bool CommonGradients::replaces(std::size_t range) const {
  return position(range) == 0 && rounds_[range] == step_rounds_[range];
}

Tensor CommonGradients::place(std::size_t range) const {
  const Slice elements = ranges_.at(range);
  if (!replaces(range)) return {};
  return Tensor::wrap(gradients().data() + elements.begin * size_of(dtype()),
                      {static_cast<std::int64_t>(elements.size())}, dtype(), gradients().owner());
}

void CommonGradients::contribute(std::size_t range, const Tensor& gradient) {
  const Slice elements = ranges_.at(range);
  if (gradient.defined() &&
      (gradient.dtype() != dtype() || static_cast<std::size_t>(gradient.numel()) != elements.size())) {
    throw Error("a gradient of " + std::to_string(gradient.numel()) + ' ' + name_of(gradient.dtype()) +
                    " for a range of " + std::to_string(elements.size()) + ' ' + name_of(dtype()),
                where);
  }
  const bool replace = replaces(range);
  const std::uint64_t turn = rounds_[range]++ * static_cast<std::uint64_t>(world().size()) + position(range);
  queue_.push_back({range, gradient, turn, replace, timeline().on() ? timeline().now() : 0});
  if (!in_place(queue_.back())) queued_bytes_ += gradient.defined() ? gradient.bytes() : 0;
  progress();
  if (may_queue()) return;
  const Doing doing("its turn to add the gradient of parameter " + std::to_string(range), Doing::Kind::wait);
  while (!may_queue()) {
    sched_yield();
    progress();
  }
}

bool CommonGradients::in_place(const Contribution& contribution) const {
  return contribution.gradient.defined() &&
         contribution.gradient.raw() ==
             gradients().data() + ranges_[contribution.range].begin * size_of(dtype());
}

/// Ranks before this one in the order of a range never wait for it there, and all contribute to the ranges in
/// one order: whoever waits, waits for a rank that is at an earlier range, or earlier in the order of the
/// same.
bool CommonGradients::may_queue() const {
  if (queued_bytes_ <= queue_limit_) return true;
  const MemoryStatistics memory = memory_statistics();
  return memory.current + queue_limit_ <= memory.peak;
}

void CommonGradients::progress() {
  for (auto at = queue_.begin(); at != queue_.end();) {
    if (!advance(*at)) {
      ++at;
      continue;
    }
    if (timeline().on()) {
      timeline().add({"sum parameter", TimelineEvent::flight, at->begin, timeline().now(),
                      static_cast<std::int64_t>(at->range)});
    }
    if (at->gradient.defined() && !in_place(*at)) queued_bytes_ -= at->gradient.bytes();
    at = queue_.erase(at);
  }
}

bool CommonGradients::advance(Contribution& contribution) {
  const Slice range = ranges_[contribution.range];
  const std::size_t pieces = pieces_in(range, dtype());
  for (; contribution.next_piece < pieces; ++contribution.next_piece) {
    const std::size_t index = first_piece_[contribution.range] + contribution.next_piece;
    std::atomic<std::uint64_t>& turn = turns_[index];
    if (turn.load(std::memory_order_acquire) != contribution.turn) return false;
    const Slice piece = piece_of(range, contribution.next_piece, dtype());
    if (!in_place(contribution)) add_piece(contribution, piece);
    if (position(contribution.range) + 1 == static_cast<std::uint64_t>(world().size())) {
      dispatch_gradient_type(dtype(), [&]<class T>(T*) {
        squares_[index] =
            comm::sum_of_squares(reinterpret_cast<const T*>(gradients().data()) + piece.begin, piece.size());
      });
    }
    turn.store(contribution.turn + 1, std::memory_order_release);
  }
  return true;
}

void CommonGradients::add_piece(const Contribution& contribution, Slice piece) const {
  const std::size_t offset = piece.begin - ranges_[contribution.range].begin;
  dispatch_gradient_type(dtype(), [&]<class T>(T*) {
    T* const sum = reinterpret_cast<T*>(gradients().data()) + piece.begin;
    const bool nothing = !contribution.gradient.defined();
    if (nothing && contribution.replace) std::memset(sum, 0, piece.size() * sizeof(T));
    if (nothing) return;
    const T* const values = contribution.gradient.data<T>() + offset;
    if (contribution.replace) {
      std::memcpy(sum, values, piece.size() * sizeof(T));
    } else {
      add_in_order<T>({sum, values}, sum, piece.size());
    }
  });
}

void CommonGradients::finish() {
  for (std::size_t i = 0; i < rounds_.size(); ++i) {
    if (rounds_[i] - step_rounds_[i] != rounds_[0] - step_rounds_[0]) {
      throw Error(
          "parameter " + std::to_string(i) + " received " + std::to_string(rounds_[i] - step_rounds_[i]) +
              " gradients in this step and parameter 0 " + std::to_string(rounds_[0] - step_rounds_[0]),
          where, "Contribute once per micro-batch to every range, an undefined tensor where none arose.");
    }
  }
  const Doing doing("sums of the gradients", Doing::Kind::wait);
  while (!queue_.empty()) {
    progress();
    if (!queue_.empty()) sched_yield();
  }
  world().barrier();
}

double CommonGradients::sum_of_squares() const {
  double sum = 0;
  for (std::size_t i = 0; i < first_piece_.back(); ++i) sum += squares_[i];
  return sum;
}

void CommonGradients::publish() {
  step_rounds_ = rounds_;
  SummedGradients::publish();
}

}  // namespace tessera::comm
