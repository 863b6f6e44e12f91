#pragma once
// Invariant: a checkpoint is one sealed HDF5 file (io/file_seal.hpp) that knows nothing of the number of
// ranks that wrote it. Under its final name it is complete, synced and read back once; every byte of it is
// covered by a checksum that is checked before HDF5 or a tensor sees the byte.
//
//   /<arena>/<official parameter name>  f32|f64, the parameter's global shape; arenas: model (every
//                                       parameter), and of the trainable ones first_moment, second_moment and
//                                       average (when a running average is kept)
//   /checksums   u32, CRC32C of each tensor's bytes, in the order of /names
//   /names, /config, /plugins           strings: paths of the tensors; the resolved configuration; "name
//                                       version" of every plugin
//   attributes of / : format "tessera-checkpoint", format_version, and the numbers of RunState
//
// An adapter is such a file with the format "tessera-adapter" that holds the trained parameters alone, as
// /adapter/<name>, and says in the attributes base, base_weights and base_digest what they were trained on.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/fault_counters.hpp"
#include "comm/communicator.hpp"
#include "comm/sharding.hpp"
#include "nn/parameter_store.hpp"

namespace tessera::checkpoint {

inline constexpr const char* format_name = "tessera-checkpoint";
inline constexpr const char* adapter_format_name = "tessera-adapter";
inline constexpr std::int64_t format_version = 1;

/// All of a run's state that is not in an arena.
struct RunState {
  std::string config;                ///< resolved, TOML
  std::vector<std::string> plugins;  ///< "name version"
  std::string precision;             ///< as in [run]
  std::int64_t stage = 0;            ///< index
  std::string stage_name;
  std::int64_t stage_step = 0;         ///< finished steps of the stage
  std::int64_t global_step = 0;        ///< finished steps of the run, over all stages
  std::int64_t samples_seen = 0;       ///< draws of the data order: its whole state
  std::int64_t attempt = 0;            ///< of the random draws
  std::int64_t optimizer_updates = 0;  ///< counted for the bias correction
  bool average_active = false;         ///< the running average has started
  double loss_sum = 0;                 ///< since the last line of metrics
  std::int64_t loss_steps = 0;
  FaultCounters faults;
  friend bool operator==(const RunState&, const RunState&) = default;
};

/// What the parameters of an adapter were trained on.
struct AdapterBase {
  std::string checkpoint;  ///< path, as the run named it; empty when it is no checkpoint
  std::string weights;     ///< which of its weights (weights_named)
  std::string digest;      ///< of these weights (digest)
};

/// An arena with the layout of a ParameterStore or of its trainable prefix, and the group of the file that
/// holds its tensors.
struct NamedArena {
  std::string group;
  Tensor arena;
  /// Which elements each rank writes and reads, where it has not all of them; buckets of whole parameters.
  std::shared_ptr<const comm::Sharding> sharding{};
};

struct TensorEntry {
  std::string name;  ///< "model/blocks.0.attn.qkv.weight"
  DType type = DType::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  ///< in the file
  std::uint64_t bytes = 0;
  std::uint32_t crc = 0;
};

/// What a file holds, tensors left out.
struct Description {
  RunState state;
  std::vector<TensorEntry> tensors;
  std::uint64_t file_bytes = 0;
  std::optional<AdapterBase> base;  ///< set when the file is an adapter

  [[nodiscard]] bool has_group(const std::string& group) const;
  [[nodiscard]] bool has(const std::string& tensor) const;
};

enum class FileKind : std::uint8_t { checkpoint, adapter, either };
/// Checks the seal and reads the description. Main thread only (HDF5), no MPI.
/// @throws Error when the file is missing, damaged, or of another kind.
[[nodiscard]] Description describe(const std::filesystem::path& file, FileKind kind = FileKind::checkpoint);
/// 16 hexadecimal digits that tell two checkpoints apart: of the stage, the configuration, and the name,
/// shape and checksum of every tensor. Reads nothing.
[[nodiscard]] std::string digest(const Description& description);
/// The same of tensors alone, whatever file they are in.
[[nodiscard]] std::string digest(const std::map<std::string, TensorEntry>& tensors);
/// describe(), and every tensor against its checksum.
Description verify(const std::filesystem::path& file, FileKind kind = FileKind::checkpoint);

/// Writes a checkpoint: each rank its share of every arena. The arenas are complete on every rank (or once on
/// every node), or sharded. Collective. @throws Error, on all ranks alike, on a full disk and on any other
/// failure; `file` is then as it was before. @param base  makes it an adapter. PendingSave (pending_save.hpp)
/// does the same while its caller goes on.
void save(const std::filesystem::path& file, const RunState& state, const nn::ParameterStore& store,
          const std::vector<NamedArena>& arenas, const comm::Communicator& world,
          const std::optional<AdapterBase>& base = {});

/// Fills the arenas, gaps excepted, from a file of any number of ranks; checksums are checked on the way.
/// f32 and f64 convert into each other. Does not refresh the store's compute copy. `sharers` are the ranks
/// that have these arenas in common memory (alone() when they do not), or between which they are sharded;
/// each reads its part. Collective over them.
/// @throws Error on all of them alike, naming the first tensor that is missing, of another shape, or damaged.
void load(const Description& description, const std::filesystem::path& file, const nn::ParameterStore& store,
          const std::vector<NamedArena>& arenas, const comm::Communicator& sharers);

enum class Weights : std::uint8_t {
  trained,
  average,   ///< an Error when the file has none
  preferred  ///< the average when it is active, else the trained ones
};
/// @throws Error when `name` is none of the three.
[[nodiscard]] Weights weights_named(const std::string& name);
/// Whether the average is meant. @throws Error when it is asked for and the file has none.
[[nodiscard]] bool takes_average(const Description& description, const std::filesystem::path& file,
                                 Weights which);
/// The tensors of these weights, by parameter. What is not trained has no average and comes from the model.
/// @throws Error when the file has no such weights.
[[nodiscard]] std::map<std::string, TensorEntry> weights_in(const Description& description,
                                                            const std::filesystem::path& file, Weights which);
/// Fills the values of a materialised store, and its compute copy, for sampling. What is not trainable has
/// no average and comes from the model. No MPI: every process reads the file by itself.
/// @param adapter  a file of parameters that the checkpoint lacks; empty for none.
Description load_weights(const std::filesystem::path& file, nn::ParameterStore& store,
                         Weights which = Weights::preferred, const std::filesystem::path& adapter = {});

/// One tensor on the host, in its stored type. No MPI. @throws Error when its checksum does not match.
[[nodiscard]] Tensor read_tensor(const std::filesystem::path& file, const TensorEntry& entry);

}  // namespace tessera::checkpoint
