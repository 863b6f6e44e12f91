#include "checkpoint/pending_save.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <future>
#include <span>

#include "checkpoint/new_file.hpp"
#include "checkpoint/tensor_parts.hpp"
#include "comm/available_memory.hpp"
#include "comm/shared_arena.hpp"
#include "io/file_seal.hpp"

namespace tessera::checkpoint {
namespace {

/// Of writing and reading: small enough to stay in a core's cache between a checksum and the copy.
constexpr std::size_t kPiece = std::size_t{1} << 20;
/// Of the memory that a node has left, for the copies: the pages of the file want some too.
constexpr double kShareOfMemory = 0.7;

enum class Phase : std::uint8_t { writing, completing, complete };

/// What a rank writes of one tensor.
struct Part {
  const char* from;
  std::size_t bytes;
  std::uint64_t offset;  ///< in the file
};

/// Calls `move(done, bytes)` for one piece after the other.
template <class Move>
void in_pieces(std::size_t bytes, const Move& move) {
  for (std::size_t done = 0; done < bytes; done += kPiece) move(done, std::min(kPiece, bytes - done));
}

/// Names the file that was to be, and says what is left of the others.
template <class Work>
auto naming(const std::string& file, const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    throw Error("this checkpoint could not be written: " + error.summary(), file,
                error.remedy() + " Files that were there before were left alone.");
  }
}

Error given_up(const std::string& file) {
  return Error("the checkpoint was given up, because the run ends.", file);
}

/// Whether every node has memory for the copies of all its ranks. Collective.
bool room_for_copies(std::size_t mine, const comm::Communicator& world) {
  const double node = world.node().ordered_sum(static_cast<double>(mine));
  return world.agree(node <= kShareOfMemory * static_cast<double>(comm::available_memory()));
}

}  // namespace

struct PendingSave::State {
  State(const std::filesystem::path& path, std::vector<PlacedTensor> all, const comm::Communicator& ranks,
        SaveOptions given)
      : world(ranks), file(path.string()), tensors(std::move(all)), options(std::move(given)) {}

  void make(const RunState& run);
  void take_parts();
  /// Writes this rank's parts, syncs them and reads them back. @return their checksums.
  std::vector<std::uint32_t> write();
  /// What is left to do once all bytes of the tensors are on the disk; rank 0.
  void complete(const std::vector<std::uint32_t>& checksums);
  [[nodiscard]] std::launch policy() const {
    return options.writing == Writing::overlapped ? std::launch::async : std::launch::deferred;
  }
  void check_wanted() const {
    if (unwanted) throw given_up(file);
  }

  comm::Communicator world;
  std::string file;
  std::vector<PlacedTensor> tensors;
  SaveOptions options;
  Phase phase = Phase::writing;
  std::uint64_t bytes = 0;
  NewFile made;
  std::vector<Part> parts;
  std::optional<comm::SharedArena> copy;
  std::atomic<bool> unwanted{false};
  std::optional<io::FileReplacement> replacement;  // rank 0
  // Last, so that what runs has ended before anything else of this goes.
  std::future<std::vector<std::uint32_t>> written;
  std::future<void> completed;
};

void PendingSave::State::make(const RunState& run) {
  world.together([&] {
    if (world.rank() != 0) return;
    naming(file, [&] {
      replacement.emplace(file);
      made = make_file(replacement->temporary_path(), run, tensors, options.base);
    });
  });
  if (world.size() == 1) return;
  made.tensors.resize(tensors.size());
  world.broadcast(std::as_writable_bytes(std::span(made.tensors)), 0);
  made.path = world.gather(made.path).front();
}

void PendingSave::State::take_parts() {
  std::size_t mine = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const PlacedTensor& tensor = tensors[i];
    const comm::Slice part = part_of(tensor, world.rank(), world.size());
    const std::size_t skipped = part.begin * tensor.element_bytes();
    parts.push_back(
        {tensor.data() + skipped, part.size() * tensor.element_bytes(), made.tensors[i].offset + skipped});
    mine += parts.back().bytes;
    bytes += made.tensors[i].bytes;
  }
  if (options.writing == Writing::at_once) return;
  if (!room_for_copies(mine, world)) {
    options.writing = Writing::at_once;
    return;
  }
  world.together([&] {
    // Of its own pages: the heap would keep them when they are freed (keep_freed_memory).
    copy.emplace(world, std::max<std::size_t>(1, mine), comm::Placement::private_memory);
    char* to = reinterpret_cast<char*>(copy->data());
    for (Part& part : parts) {
      std::memcpy(to, part.from, part.bytes);
      part.from = to;
      to += part.bytes;
    }
  });
}

std::vector<std::uint32_t> PendingSave::State::write() {
  const io::File bulk = io::File::open_update(made.path);
  std::vector<std::uint32_t> checksums;
  for (const Part& part : parts) {
    std::uint32_t crc = 0;
    in_pieces(part.bytes, [&](std::size_t done, std::size_t piece) {
      check_wanted();
      crc = crc32c(part.from + done, piece, crc);
      bulk.write_at(part.from + done, piece, part.offset + done);
    });
    checksums.push_back(crc);
  }
  copy.reset();
  check_wanted();
  bulk.sync();
  bulk.drop_cached();
  const auto back = std::make_unique_for_overwrite<char[]>(kPiece);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    std::uint32_t crc = 0;
    in_pieces(parts[i].bytes, [&](std::size_t done, std::size_t piece) {
      check_wanted();
      bulk.read_at(back.get(), piece, parts[i].offset + done);
      crc = crc32c(back.get(), piece, crc);
    });
    if (crc == checksums[i]) continue;
    throw Error("what was written of '" + tensors[i].name + "' reads back differently.", file,
                "Check the disk.");
  }
  return checksums;
}

void PendingSave::State::complete(const std::vector<std::uint32_t>& checksums) {
  check_wanted();
  io::File whole = io::File::open_update(made.path);
  whole.write_at(checksums.data(), made.checksums.bytes, made.checksums.offset);
  io::seal_file(made.path, made.user_block, made.tensors);
  whole.sync();
  whole.drop_cached();
  io::check_seal(made.path, "checkpoint");
  // The seal tells nothing of what it found there already.
  std::vector<std::uint32_t> back(checksums.size());
  whole.read_at(back.data(), made.checksums.bytes, made.checksums.offset);
  if (back != checksums) throw Error("its checksums read back differently.", file, "Check the disk.");
  whole.close();
  check_wanted();
  replacement->commit();
  if (options.afterwards) options.afterwards();
}

PendingSave::PendingSave(const std::filesystem::path& file, const RunState& state,
                         const nn::ParameterStore& store, const std::vector<NamedArena>& arenas,
                         const comm::Communicator& world, SaveOptions options)
    : state_(std::make_unique<State>(file, tensors_of(store, arenas), world, std::move(options))) {
  expect_host_memory("writing a checkpoint");
  State& s = *state_;
  s.make(state);
  s.take_parts();
  world.together([&] {
    s.written = std::async(s.policy(), [&s] { return naming(s.file, [&s] { return s.write(); }); });
  });
}

PendingSave::~PendingSave() { state_->unwanted = true; }

bool PendingSave::ready() const {
  const auto is_ready = [](const auto& work) {
    return !work.valid() || work.wait_for(std::chrono::seconds(0)) != std::future_status::timeout;
  };
  return is_ready(state_->written) && is_ready(state_->completed);
}

bool PendingSave::advance() {
  State& s = *state_;
  if (s.phase == Phase::writing) {
    std::vector<std::uint32_t> parts;
    s.world.together([&] { parts = s.written.get(); });
    std::vector<std::size_t> element_bytes;
    for (const PlacedTensor& tensor : s.tensors) element_bytes.push_back(tensor.element_bytes());
    std::vector<std::uint32_t> checksums = whole_checksums(parts, s.tensors, element_bytes, s.world);
    s.world.together([&] {
      if (s.world.rank() != 0) return;
      s.completed = std::async(
          s.policy(), [&s, whole = std::move(checksums)] { naming(s.file, [&] { s.complete(whole); }); });
    });
    s.phase = Phase::completing;
  } else if (s.phase == Phase::completing) {
    s.world.together([&] {
      if (s.world.rank() == 0) s.completed.get();
    });
    s.phase = Phase::complete;
  }
  return s.phase == Phase::complete;
}

void PendingSave::finish() {
  while (!advance()) {
  }
}

Writing PendingSave::writing() const { return state_->options.writing; }

std::uint64_t PendingSave::bytes() const { return state_->bytes; }

void save(const std::filesystem::path& file, const RunState& state, const nn::ParameterStore& store,
          const std::vector<NamedArena>& arenas, const comm::Communicator& world,
          const std::optional<AdapterBase>& base) {
  PendingSave(file, state, store, arenas, world, {.writing = Writing::at_once, .base = base}).finish();
}

}  // namespace tessera::checkpoint
