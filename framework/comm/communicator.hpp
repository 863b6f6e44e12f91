#pragma once
// Invariant: every member that is marked collective is called by all ranks of the communicator, in the same
// order and with the same counts, from the thread that initialised MPI; results are then the same bits on
// every rank. Reductions work on host memory, in pieces of piece_bytes or less: Open MPI allocates a scratch
// buffer as large as the message, and above a few MB the page faults of that buffer cost more than the sum.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/slice.hpp"

namespace tessera::comm {

inline constexpr std::size_t piece_bytes = std::size_t{4} << 20;

enum class Reduction : std::uint8_t { sum, max, min };

/// A reduction, or another exchange, in flight. Its values may be neither read nor written before it is done;
/// MPI works on it only inside test() and wait(). When an exception drops it, the other ranks are given half
/// a second to finish it, since MPI cannot cancel it; after that the job can only be aborted.
class PendingReduction {
 public:
  PendingReduction();  ///< of nothing, done
  ~PendingReduction();
  PendingReduction(PendingReduction&& other) noexcept;
  PendingReduction& operator=(PendingReduction&& other) noexcept;

  /// Lets MPI work; true when the values are there. @throws Error when MPI fails.
  bool test();
  /// Returns when the values are there. @throws Error when MPI fails.
  void wait();

 private:
  friend class Communicator;
  struct State;
  std::unique_ptr<State> state_;
};

struct VirtualCluster;
struct CollectiveCall;

/// A group of ranks, of MPI or virtual ones (comm/virtual_ranks.hpp); copies share it. T is float, double or
/// std::int64_t throughout.
class Communicator {
 public:
  /// All ranks of the job, with a channel of its own. Collective. Needs an Environment.
  [[nodiscard]] static Communicator world();

  [[nodiscard]] int rank() const;
  [[nodiscard]] int size() const;
  /// This rank's place among, and the number of, the ranks on its machine.
  [[nodiscard]] int node_rank() const;
  [[nodiscard]] int node_size() const;
  [[nodiscard]] bool on_one_node() const { return node_size() == size(); }
  /// The ranks on this rank's machine.
  [[nodiscard]] Communicator node() const;
  /// This rank only.
  [[nodiscard]] Communicator alone() const;
  /// The ranks that named the same colour, in the order of their keys. Collective.
  [[nodiscard]] Communicator split(int colour, int key) const;
  /// The same ranks, taken for a job on machines of so many ranks each, in turn: what a run does on several
  /// machines can then be seen on one. Collective.
  [[nodiscard]] Communicator on_nodes_of(int ranks) const;

  /// Returns when all ranks called it; what they wrote to shared memory before is visible after. Collective.
  void barrier() const;
  /// Copies `bytes` of `root` to all ranks; the same size everywhere. Collective.
  void broadcast(std::span<std::byte> bytes, int root) const;
  /// Replaces each value by its reduction over the ranks. Collective.
  template <class T>
  void all_reduce(std::span<T> values, Reduction reduction = Reduction::sum) const;
  /// Starts a sum that goes on while the caller computes. Starting is collective; all ranks start their
  /// reductions in the same order.
  template <class T>
  [[nodiscard]] PendingReduction start_all_reduce_sum(std::span<T> values) const;
  /// Starts to send elements to[r] of `sent` to each rank r, and to fill elements from[r] of `received` with
  /// what r sends to this one. Starting is collective, as above; the counts of a pair agree.
  template <class T>
  [[nodiscard]] PendingReduction start_exchange(const T* sent, const std::vector<Slice>& to, T* received,
                                                const std::vector<Slice>& from) const;
  /// Starts to fill `values` with the parts of all ranks; parts[r] is there on rank r, counted in elements of
  /// 1, 2, 4 or 8 bytes. Starting is collective, as above.
  [[nodiscard]] PendingReduction start_all_gather(std::byte* values, std::size_t element_bytes,
                                                  const std::vector<Slice>& parts) const;
  /// Every rank's text, in rank order. Collective.
  [[nodiscard]] std::vector<std::string> gather(const std::string& text) const;
  /// The sum of one value per rank, added in rank order. Collective.
  [[nodiscard]] double ordered_sum(double value) const;
  /// Whether all ranks say yes. Collective.
  [[nodiscard]] bool agree(bool yes) const;
  /// Runs `work` on every rank; when it throws on some, all ranks throw the Error of the lowest of those, so
  /// that the job fails as one. Collective; `work` itself may not be.
  void together(const std::function<void()>& work) const;

 private:
  friend std::vector<CollectiveCall> run_virtual_ranks(const VirtualCluster& cluster,
                                                       const std::function<void(const Communicator&)>& body);
  struct State;
  explicit Communicator(std::shared_ptr<const State> state);
  std::shared_ptr<const State> state_;
};

}  // namespace tessera::comm
