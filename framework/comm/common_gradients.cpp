#include "comm/common_gradients.hpp"

#include <sched.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "comm/ordered_sums.hpp"

namespace tessera::comm {
namespace {

constexpr const char* where = "gradient reduction";

// Small enough that the next rank finds the sums in the shared cache, large enough to make the turns cheap.
constexpr std::size_t turn_bytes = std::size_t{1} << 20;

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

CommonGradients::CommonGradients(const Communicator& world, const SharedArena& gradients, DType dtype,
                                 std::size_t elements, std::vector<Slice> ranges, std::size_t queue_bytes)
    : SummedGradients(world, world, gradients, dtype, elements),
      ranges_(std::move(ranges)),
      queue_limit_(queue_bytes),
      turns_arena_(world, (first_pieces(ranges_, dtype).back() + 1) * sizeof(std::atomic<std::uint64_t>),
                   Placement::shared),
      first_piece_(first_pieces(ranges_, dtype)),
      turns_(reinterpret_cast<std::atomic<std::uint64_t>*>(turns_arena_.data())),
      rounds_(ranges_.size(), 0),
      step_rounds_(ranges_.size(), 0) {
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "the turns are passed between processes");
  expect_host_memory("summing gradients in turns");
  if (world.size() > 1 && (gradients.placement() != Placement::shared || !world.on_one_node())) {
    throw Error("gradients that exist once per node need all ranks on one node and a shared arena", where,
                "Set gradient_memory = \"per-rank\".");
  }
  for (const Slice range : ranges_) {
    if (range.begin > range.end || range.end > elements) {
      throw Error("the range of a parameter lies outside the gradients", where);
    }
  }
}

void CommonGradients::contribute(std::size_t range, const Tensor& gradient) {
  const Slice elements = ranges_.at(range);
  if (gradient.defined() &&
      (gradient.dtype() != dtype() || static_cast<std::size_t>(gradient.numel()) != elements.size())) {
    throw Error("a gradient of " + std::to_string(gradient.numel()) + ' ' + name_of(gradient.dtype()) +
                    " for a range of " + std::to_string(elements.size()) + ' ' + name_of(dtype()),
                where);
  }
  const std::uint64_t round = rounds_[range]++;
  const std::uint64_t turn =
      round * static_cast<std::uint64_t>(world().size()) + static_cast<std::uint64_t>(world().rank());
  const bool replace = world().rank() == 0 && round == step_rounds_[range];
  queue_.push_back({range, gradient, turn, replace});
  if (gradient.defined()) queued_bytes_ += gradient.bytes();
  progress();
  drain(queue_limit_);
}

void CommonGradients::progress() {
  while (!queue_.empty() && advance_front()) {
    if (queue_.front().gradient.defined()) queued_bytes_ -= queue_.front().gradient.bytes();
    queue_.pop_front();
  }
}

/// Waits for turns until at most `allowed_bytes` are queued. Ranks before this one never wait for it in the
/// same round, and it contributes in the same order as they do, so its turn comes.
void CommonGradients::drain(std::size_t allowed_bytes) {
  while (queued_bytes_ > allowed_bytes || (allowed_bytes == 0 && !queue_.empty())) {
    sched_yield();
    progress();
  }
}

bool CommonGradients::advance_front() {
  Contribution& front = queue_.front();
  const Slice range = ranges_[front.range];
  const std::size_t pieces = pieces_in(range, dtype());
  for (; front.next_piece < pieces; ++front.next_piece) {
    std::atomic<std::uint64_t>& turn = turns_[first_piece_[front.range] + front.next_piece];
    if (turn.load(std::memory_order_acquire) != front.turn) return false;
    add_piece(front, piece_of(range, front.next_piece, dtype()));
    turn.store(front.turn + 1, std::memory_order_release);
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
  drain(0);
  world().barrier();
}

void CommonGradients::publish() {
  step_rounds_ = rounds_;
  SummedGradients::publish();
}

}  // namespace tessera::comm
