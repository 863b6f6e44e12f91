#include "comm/virtual_ranks.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <thread>

#include "comm/mpi_support.hpp"
#include "comm/virtual_group.hpp"

namespace tessera::comm {
namespace {

constexpr const char* where = "virtual ranks";

std::string text_of(const CallShape& shape) {
  return std::string(shape.operation) + " of " + std::to_string(shape.count) + " x " +
         std::to_string(shape.element) + " bytes (" + std::to_string(shape.detail) + ")";
}

template <class T>
void reduce(VirtualCall& call) {
  const std::size_t count = call.shape.count;
  std::vector<T> result(count);
  std::copy_n(static_cast<const T*>(call.memory.front()), count, result.begin());
  for (std::size_t member = 1; member < call.memory.size(); ++member) {
    const T* const values = static_cast<const T*>(call.memory[member]);
    switch (static_cast<Reduction>(call.shape.detail)) {
      case Reduction::sum:
        for (std::size_t i = 0; i < count; ++i) result[i] += values[i];
        break;
      case Reduction::max:
        for (std::size_t i = 0; i < count; ++i) result[i] = std::max(result[i], values[i]);
        break;
      case Reduction::min:
        for (std::size_t i = 0; i < count; ++i) result[i] = std::min(result[i], values[i]);
        break;
    }
  }
  for (void* memory : call.memory) std::copy_n(result.begin(), count, static_cast<T*>(memory));
}

}  // namespace

Turns::Turns(int ranks) : waiting_(static_cast<std::size_t>(ranks), false), running_(ranks) {
  for (int rank = 0; rank < ranks; ++rank) {
    turns_.emplace_back(0);
    ready_.push_back(rank);
  }
}

void Turns::start() { next(); }

void Turns::check() const {
  if (failure_) throw *failure_;
}

void Turns::wait(int rank) {
  const auto own = static_cast<std::size_t>(rank);
  waiting_[own] = true;
  next();
  turns_[own].acquire();
  waiting_[own] = false;
  check();
}

void Turns::end(int) {
  --running_;
  if (running_ > 0) next();
}

void Turns::fail(const Error& error) {
  if (failure_) return;
  failure_ = error;
  for (std::size_t rank = 0; rank < waiting_.size(); ++rank) {
    const int number = static_cast<int>(rank);
    if (waiting_[rank] && std::ranges::find(ready_, number) == ready_.end()) ready_.push_back(number);
  }
}

void Turns::next() {
  if (ready_.empty()) {
    const auto waits = std::ranges::find(waiting_, true) - waiting_.begin();
    fail(Error("rank " + std::to_string(waits) + " waits in a collective call for ranks that have ended.",
               where, "Make every collective call on all ranks."));
  }
  const auto rank = static_cast<std::size_t>(ready_.front());
  ready_.pop_front();
  turns_[rank].release();
}

std::shared_ptr<VirtualCall> VirtualGroup::call(int member, const CallShape& shape, void* memory,
                                                const Combine& combine) {
  turns_.check();
  const std::uint64_t number = made_[static_cast<std::size_t>(member)]++ - forgotten_;
  if (number == calls_.size()) {
    calls_.push_back(std::make_shared<VirtualCall>());
    calls_.back()->shape = shape;
    calls_.back()->first_member = member;
    calls_.back()->memory.resize(static_cast<std::size_t>(size_));
  }
  const std::shared_ptr<VirtualCall> made = calls_[number];
  if (!(made->shape == shape)) {
    turns_.fail(Error("rank " + std::to_string(member) + " calls " + text_of(shape) + ", where rank " +
                          std::to_string(made->first_member) + " called " + text_of(made->shape) + ".",
                      where, "Make every collective call on all ranks, in one order and with one count."));
    turns_.check();
  }
  made->memory[static_cast<std::size_t>(member)] = memory;
  if (++made->arrived < static_cast<std::size_t>(size_)) return made;
  combine(*made);
  made->done = true;
  history_.push_back({shape.operation, shape.count});
  for (const int rank : made->waiting) turns_.wake(rank);
  // Members make their calls in order, so calls are done in order too.
  calls_.pop_front();
  ++forgotten_;
  return made;
}

void VirtualGroup::wait(int member, VirtualCall& call) {
  if (call.done) return;
  call.waiting.push_back(first_ + member);
  turns_.wait(first_ + member);
}

std::shared_ptr<VirtualCall> VirtualGroup::meet(int member, const CallShape& shape, void* memory,
                                                const Combine& combine) {
  std::shared_ptr<VirtualCall> made = call(member, shape, memory, combine);
  wait(member, *made);
  return made;
}

void VirtualGroup::abandon(int member, const VirtualCall& call) {
  if (call.done) return;
  turns_.fail(Error("rank " + std::to_string(member) + " abandoned " + text_of(call.shape) + ".", where));
}

void VirtualGroup::barrier(int member) {
  meet(member, {"barrier"}, nullptr, [](VirtualCall&) {});
}

void VirtualGroup::broadcast(int member, std::span<std::byte> bytes, int root) {
  meet(member, {"broadcast", bytes.size(), 1, root}, bytes.data(), [](VirtualCall& call) {
    const void* from = call.memory[static_cast<std::size_t>(call.shape.detail)];
    for (void* to : call.memory) {
      if (to != from && call.shape.count > 0) std::memcpy(to, from, call.shape.count);
    }
  });
}

template <class T>
std::shared_ptr<VirtualCall> VirtualGroup::start_all_reduce(int member, const char* operation,
                                                            std::span<T> values, Reduction reduction) {
  return call(member, {operation, values.size(), sizeof(T), static_cast<int>(reduction)}, values.data(),
              reduce<T>);
}

std::vector<std::string> VirtualGroup::gather(int member, const std::string& text) {
  std::string own = text;
  return meet(member, {"gather"}, &own,
              [](VirtualCall& call) {
                for (const void* of : call.memory) call.texts.push_back(*static_cast<const std::string*>(of));
              })
      ->texts;
}

double VirtualGroup::ordered_sum(int member, double value) {
  return meet(member, {"ordered_sum", 1, sizeof(double)}, &value,
              [](VirtualCall& call) {
                for (const void* of : call.memory) call.sum += *static_cast<const double*>(of);
              })
      ->sum;
}

template std::shared_ptr<VirtualCall> VirtualGroup::start_all_reduce<float>(int, const char*,
                                                                            std::span<float>, Reduction);
template std::shared_ptr<VirtualCall> VirtualGroup::start_all_reduce<double>(int, const char*,
                                                                             std::span<double>, Reduction);
template std::shared_ptr<VirtualCall> VirtualGroup::start_all_reduce<std::int64_t>(int, const char*,
                                                                                   std::span<std::int64_t>,
                                                                                   Reduction);

std::vector<CollectiveCall> run_virtual_ranks(const VirtualCluster& cluster,
                                              const std::function<void(const Communicator& world)>& body) {
  if (cluster.ranks < 1 || cluster.ranks_per_node < 1) {
    throw Error("a cluster of " + std::to_string(cluster.ranks) + " ranks, " +
                    std::to_string(cluster.ranks_per_node) + " on a node, has no rank.",
                where, "Give it one or more of both.");
  }
  Turns turns(cluster.ranks);
  const auto world = std::make_shared<VirtualGroup>(turns, 0, cluster.ranks);
  std::exception_ptr failure;
  const auto run_rank = [&](int rank, const std::shared_ptr<VirtualGroup>& node, int node_first,
                            int node_size) {
    turns.begin(rank);
    try {
      auto state = std::make_shared<Communicator::State>();
      state->virtual_world = world;
      state->virtual_node = node;
      state->rank = rank;
      state->size = cluster.ranks;
      state->node_rank = rank - node_first;
      state->node_size = node_size;
      body(Communicator(std::move(state)));
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
    turns.end(rank);
  };
  std::vector<std::thread> threads;
  for (int first = 0; first < cluster.ranks; first += cluster.ranks_per_node) {
    const int size = std::min(cluster.ranks_per_node, cluster.ranks - first);
    const auto node = std::make_shared<VirtualGroup>(turns, first, size);
    for (int rank = first; rank < first + size; ++rank)
      threads.emplace_back(run_rank, rank, node, first, size);
  }
  turns.start();
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
  return world->history();
}

}  // namespace tessera::comm
