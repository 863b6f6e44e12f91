#pragma once
// Invariant: the n-th call of a member of a group and the n-th of every other one are one call: it is done
// when the last of them has made it, which then combines what all have brought. Private to comm/.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <semaphore>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "comm/communicator.hpp"
#include "comm/virtual_ranks.hpp"

namespace tessera::comm {

/// Who runs: exactly one rank of the cluster from start() on, until all have ended.
class Turns {
 public:
  explicit Turns(int ranks);
  void start();
  /// The calling rank waits until someone wakes it. @throws Error when the cluster has failed.
  void wait(int rank);
  void wake(int rank) { ready_.push_back(rank); }
  /// The calling rank has ended, with an exception or without.
  void end(int rank);
  /// Returns when the rank is given its first turn.
  void begin(int rank) { turns_[static_cast<std::size_t>(rank)].acquire(); }
  /// Wakes all; whoever waits or makes a call from now on throws this.
  void fail(const Error& error);
  void check() const;

 private:
  void next();
  std::deque<std::binary_semaphore> turns_;
  std::deque<int> ready_;
  std::vector<bool> waiting_;
  int running_;  ///< that have not ended
  std::optional<Error> failure_;
};

/// What a call must have in common on all ranks.
struct CallShape {
  const char* operation;
  std::size_t count = 0;
  std::size_t element = 1;  ///< bytes
  int detail = 0;           ///< root or Reduction
  friend bool operator==(const CallShape&, const CallShape&) = default;
};

struct VirtualCall {
  CallShape shape;
  int first_member;
  std::vector<void*> memory;  ///< what each member brought
  std::size_t arrived = 0;
  std::vector<std::string> texts;  ///< result of a gather, one for all
  double sum = 0;                  ///< of an ordered_sum
  std::vector<int> waiting;        ///< ranks of the cluster
  bool done = false;
};

class VirtualGroup {
 public:
  /// @param first  the rank of the cluster that is member 0; the others follow it.
  VirtualGroup(Turns& turns, int first, int size)
      : turns_(turns), first_(first), size_(size), made_(static_cast<std::size_t>(size)) {}

  using Combine = std::function<void(VirtualCall& call)>;
  /// Makes a member's next call. `combine` runs once, when the last member is here.
  std::shared_ptr<VirtualCall> call(int member, const CallShape& shape, void* memory, const Combine& combine);
  /// Returns when a call is done.
  void wait(int member, VirtualCall& call);
  /// Both.
  std::shared_ptr<VirtualCall> meet(int member, const CallShape& shape, void* memory, const Combine& combine);
  /// A member will not wait for its call: its memory may be gone, and the cluster ends.
  void abandon(int member, const VirtualCall& call);

  void barrier(int member);
  void broadcast(int member, std::span<std::byte> bytes, int root);
  template <class T>
  std::shared_ptr<VirtualCall> start_all_reduce(int member, const char* operation, std::span<T> values,
                                                Reduction reduction);
  std::vector<std::string> gather(int member, const std::string& text);
  double ordered_sum(int member, double value);

  /// A group of this member only.
  [[nodiscard]] std::shared_ptr<VirtualGroup> alone(int member) const {
    return std::make_shared<VirtualGroup>(turns_, first_ + member, 1);
  }
  [[nodiscard]] const std::vector<CollectiveCall>& history() const { return history_; }

 private:
  Turns& turns_;
  int first_;
  int size_;
  std::vector<std::uint64_t> made_;  ///< calls of each member
  std::uint64_t forgotten_ = 0;      ///< calls that are done
  std::deque<std::shared_ptr<VirtualCall>> calls_;
  std::vector<CollectiveCall> history_;
};

}  // namespace tessera::comm
