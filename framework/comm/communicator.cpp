#include "comm/communicator.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <new>
#include <optional>
#include <utility>

#include "base/activity.hpp"
#include "comm/mpi_support.hpp"
#include "comm/virtual_group.hpp"

namespace tessera::comm {
namespace {

constexpr auto patience_with_abandoned = std::chrono::milliseconds(500);

MPI_Op mpi_op(Reduction reduction) {
  switch (reduction) {
    case Reduction::sum:
      return MPI_SUM;
    case Reduction::max:
      return MPI_MAX;
    case Reduction::min:
      return MPI_MIN;
  }
  return MPI_OP_NULL;
}

/// Calls `work(begin, count)` for consecutive pieces of `count` elements of `element_bytes`.
template <class Work>
void for_each_piece(std::size_t count, std::size_t element_bytes, Work&& work) {
  const std::size_t step = piece_bytes / element_bytes;
  for (std::size_t begin = 0; begin < count; begin += step) {
    work(begin, static_cast<int>(std::min(step, count - begin)));
  }
}

MPI_Comm split_node(MPI_Comm world, int rank) {
  MPI_Comm node = MPI_COMM_NULL;
  check(MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node), "MPI_Comm_split_type");
  check(MPI_Comm_set_errhandler(node, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return node;
}

MPI_Comm split_by(MPI_Comm world, int colour, int key) {
  MPI_Comm part = MPI_COMM_NULL;
  check(MPI_Comm_split(world, colour, key, &part), "MPI_Comm_split");
  check(MPI_Comm_set_errhandler(part, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return part;
}

void append_text(std::string& record, const std::string& text) {
  record += std::to_string(text.size()) + ' ' + text;
}

std::string take_text(const std::string& record, std::size_t& at) {
  const std::size_t space = record.find(' ', at);
  const std::size_t length = std::stoul(record.substr(at, space - at));
  at = space + 1 + length;
  return record.substr(space + 1, length);
}

std::string packed(const Error& error) {
  std::string record;
  append_text(record, std::to_string(static_cast<int>(error.code())));
  append_text(record, error.summary());
  append_text(record, error.where());
  append_text(record, error.remedy());
  return record;
}

Error unpacked(const std::string& record) {
  std::size_t at = 0;
  const auto code = static_cast<ExitCode>(std::stoi(take_text(record, at)));
  std::string summary = take_text(record, at);
  std::string where = take_text(record, at);
  std::string remedy = take_text(record, at);
  return Error(summary, std::move(where), std::move(remedy), code);
}

}  // namespace

void check(int code, const char* operation) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw Error("the ranks cannot reach each other as they should: " +
                  std::string(text.data(), static_cast<std::size_t>(length)),
              operation, "Look for a rank that ended or a network that failed; --resume continues the run.");
}

bool& reduction_abandoned() {
  static bool abandoned = false;
  return abandoned;
}

PendingReduction::PendingReduction() = default;
PendingReduction::PendingReduction(PendingReduction&& other) noexcept = default;
PendingReduction& PendingReduction::operator=(PendingReduction&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
PendingReduction::~PendingReduction() {
  if (state_ && state_->call) {
    state_->group->abandon(state_->member, *state_->call);
    return;
  }
  const auto deadline = std::chrono::steady_clock::now() + patience_with_abandoned;
  try {
    while (!test()) {
      if (std::chrono::steady_clock::now() > deadline) break;
    }
  } catch (const Error&) {
    // The job is failing already, with a reason that says more than this one.
  }
  if (state_) reduction_abandoned() = true;
}

bool PendingReduction::test() {
  if (!state_) return true;
  int done = 0;
  if (state_->call) {
    done = state_->call->done ? 1 : 0;
  } else {
    check(MPI_Testall(static_cast<int>(state_->requests.size()), state_->requests.data(), &done,
                      MPI_STATUSES_IGNORE),
          "MPI_Testall");
  }
  if (done != 0) state_.reset();
  return done != 0;
}

void PendingReduction::wait() {
  if (!state_) return;
  const Doing doing("all-reduce", Doing::Kind::wait);
  if (state_->call) {
    state_->group->wait(state_->member, *state_->call);
  } else {
    check(
        MPI_Waitall(static_cast<int>(state_->requests.size()), state_->requests.data(), MPI_STATUSES_IGNORE),
        "MPI_Waitall");
  }
  state_.reset();
}

Communicator::Communicator(std::shared_ptr<const State> state) : state_(std::move(state)) {}

// Communicators are few and live to the end of the job, where MPI_Finalize frees them: freeing one is
// collective, and a destructor that runs because one rank throws would wait for the others for ever.
Communicator Communicator::world() {
  auto state = std::make_shared<State>();
  check(MPI_Comm_dup(MPI_COMM_WORLD, &state->world), "MPI_Comm_dup");
  check(MPI_Comm_set_errhandler(state->world, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  MPI_Comm_rank(state->world, &state->rank);
  MPI_Comm_size(state->world, &state->size);
  state->set_node(split_node(state->world, state->rank));
  return Communicator(std::move(state));
}

Communicator Communicator::node() const {
  auto state = std::make_shared<State>();
  state->world = state->node = state_->node;
  state->virtual_world = state->virtual_node = state_->virtual_node;
  state->rank = state->node_rank = state_->node_rank;
  state->size = state->node_size = state_->node_size;
  return Communicator(std::move(state));
}

Communicator Communicator::alone() const {
  auto state = std::make_shared<State>();
  state->world = state->node = MPI_COMM_SELF;
  if (state_->virtual_world)
    state->virtual_world = state->virtual_node = state_->virtual_world->alone(state_->rank);
  return Communicator(std::move(state));
}

Communicator Communicator::split(int colour, int key) const {
  state_->require_mpi("a split");
  auto state = std::make_shared<State>();
  state->world = split_by(state_->world, colour, key);
  MPI_Comm_rank(state->world, &state->rank);
  MPI_Comm_size(state->world, &state->size);
  state->set_node(split_node(state->world, state->rank));
  return Communicator(std::move(state));
}

Communicator Communicator::on_nodes_of(int ranks) const {
  state_->require_mpi("pretended nodes");
  auto state = std::make_shared<State>(*state_);
  state->set_node(split_by(state_->world, state_->rank / ranks, state_->rank));
  return Communicator(std::move(state));
}

int Communicator::rank() const { return state_->rank; }
int Communicator::size() const { return state_->size; }
int Communicator::node_rank() const { return state_->node_rank; }
int Communicator::node_size() const { return state_->node_size; }

void Communicator::barrier() const {
  const Doing doing("barrier", Doing::Kind::wait);
  if (state_->virtual_world) return state_->virtual_world->barrier(state_->rank);
  // MPI promises nothing about memory that it does not manage; the fences make the order explicit.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  check(MPI_Barrier(state_->world), "MPI_Barrier");
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void Communicator::broadcast(std::span<std::byte> bytes, int root) const {
  const Doing doing("broadcast", Doing::Kind::wait);
  if (state_->virtual_world) return state_->virtual_world->broadcast(state_->rank, bytes, root);
  for_each_piece(bytes.size(), 1, [&](std::size_t begin, int count) {
    check(MPI_Bcast(bytes.data() + begin, count, MPI_BYTE, root, state_->world), "MPI_Bcast");
  });
}

template <class T>
void Communicator::all_reduce(std::span<T> values, Reduction reduction) const {
  if (state_->size == 1) return;
  const Doing doing("all-reduce", Doing::Kind::wait);
  if (const auto& group = state_->virtual_world) {
    return group->wait(state_->rank, *group->start_all_reduce(state_->rank, "all_reduce", values, reduction));
  }
  for_each_piece(values.size(), sizeof(T), [&](std::size_t begin, int count) {
    check(MPI_Allreduce(MPI_IN_PLACE, values.data() + begin, count, mpi_type<T>(), mpi_op(reduction),
                        state_->world),
          "MPI_Allreduce");
  });
}

template <class T>
PendingReduction Communicator::start_all_reduce_sum(std::span<T> values) const {
  PendingReduction pending;
  if (state_->size == 1 || values.empty()) return pending;
  pending.state_ = std::make_unique<PendingReduction::State>();
  if (const auto& group = state_->virtual_world) {
    pending.state_->group = group;
    pending.state_->call = group->start_all_reduce(state_->rank, "start_all_reduce", values, Reduction::sum);
    pending.state_->member = state_->rank;
    return pending;
  }
  for_each_piece(values.size(), sizeof(T), [&](std::size_t begin, int count) {
    MPI_Request& request = pending.state_->requests.emplace_back(MPI_REQUEST_NULL);
    check(MPI_Iallreduce(MPI_IN_PLACE, values.data() + begin, count, mpi_type<T>(), MPI_SUM, state_->world,
                         &request),
          "MPI_Iallreduce");
  });
  return pending;
}

std::vector<std::string> Communicator::gather(const std::string& text) const {
  const Doing doing("gather", Doing::Kind::wait);
  if (state_->virtual_world) return state_->virtual_world->gather(state_->rank, text);
  const auto ranks = static_cast<std::size_t>(state_->size);
  const int length = static_cast<int>(text.size());
  std::vector<int> lengths(ranks);
  check(MPI_Allgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, state_->world), "MPI_Allgather");
  std::vector<int> offsets(ranks);
  int total = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    offsets[r] = total;
    total += lengths[r];
  }
  std::string joined(static_cast<std::size_t>(total), '\0');
  check(MPI_Allgatherv(text.data(), length, MPI_CHAR, joined.data(), lengths.data(), offsets.data(), MPI_CHAR,
                       state_->world),
        "MPI_Allgatherv");
  std::vector<std::string> texts(ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    texts[r] = joined.substr(static_cast<std::size_t>(offsets[r]), static_cast<std::size_t>(lengths[r]));
  }
  return texts;
}

double Communicator::ordered_sum(double value) const {
  const Doing doing("gather", Doing::Kind::wait);
  if (state_->virtual_world) return state_->virtual_world->ordered_sum(state_->rank, value);
  std::vector<double> values(static_cast<std::size_t>(state_->size));
  check(MPI_Allgather(&value, 1, MPI_DOUBLE, values.data(), 1, MPI_DOUBLE, state_->world), "MPI_Allgather");
  double sum = 0.0;
  for (const double v : values) sum += v;
  return sum;
}

bool Communicator::agree(bool yes) const {
  std::int64_t vote = yes ? 1 : 0;
  all_reduce(std::span(&vote, 1), Reduction::min);
  return vote == 1;
}

void Communicator::together(const std::function<void()>& work) const {
  std::optional<Error> failure;
  try {
    work();
  } catch (const Error& error) {
    failure.emplace(error);
  } catch (const std::bad_alloc&) {
    failure.emplace("this rank ran out of memory", "",
                    "Use a smaller micro-batch or fewer ranks on the node.");
  } catch (const std::exception& error) {
    failure.emplace(error.what());
  }
  if (agree(!failure.has_value())) return;
  if (state_->size == 1) throw *failure;
  const std::vector<std::string> records = gather(failure ? packed(*failure) : std::string());
  const auto first = std::ranges::find_if(records, [](const std::string& record) { return !record.empty(); });
  throw unpacked(*first);
}

template void Communicator::all_reduce<float>(std::span<float>, Reduction) const;
template void Communicator::all_reduce<double>(std::span<double>, Reduction) const;
template void Communicator::all_reduce<std::int64_t>(std::span<std::int64_t>, Reduction) const;
template PendingReduction Communicator::start_all_reduce_sum<float>(std::span<float>) const;
template PendingReduction Communicator::start_all_reduce_sum<double>(std::span<double>) const;
template PendingReduction Communicator::start_all_reduce_sum<std::int64_t>(std::span<std::int64_t>) const;

}  // namespace tessera::comm
