#pragma once
// Invariant: what training changes lives in arenas of one layout: values, moments and the running average
// once per holder, which is a node whose ranks can share memory, or a rank; gradients as their route demands.
// The values of frozen parameters lie behind those of the others and have nothing beside them. Between steps
// every rank sees the same values.
//
// With ShardSettings and several holders, each holder has memory only for its share of moments and average,
// and of the values where their copy in the compute type is all that operations read; with Shard::gradients
// each rank only for its share of the gradients. Every rank updates its parts, and sends the values, or their
// copy, to the other holders while it updates the next ones. Members are collective unless they say
// otherwise.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "comm/bucket_gather.hpp"
#include "nn/parameter_store.hpp"
#include "train/adamw.hpp"
#include "train/gradient_route.hpp"
#include "train/shard_mode.hpp"

namespace tessera::train {

class ModelState {
 public:
  /// Values are initialised from `seed`, moments zero. @param average  keeps memory for a running average.
  /// @throws Error when every parameter is frozen.
  ModelState(nn::Module& model, const nn::Precision& precision, const AdamWSettings& optimizer, bool average,
             std::uint64_t seed, const comm::Communicator& world, const ShardSettings& shard = {});
  /// Goes on with all that `before` has, whose model must have the same parameters; nothing is copied, and
  /// `before` is of no use any more. An average that is not kept is given back.
  ModelState(nn::Module& model, const ModelState& before, const AdamWSettings& optimizer, bool average);

  [[nodiscard]] nn::ParameterStore& store() { return store_; }
  [[nodiscard]] const nn::ParameterStore& store() const { return store_; }
  [[nodiscard]] AdamW& optimizer() { return *optimizer_; }
  [[nodiscard]] GradientRoute& route() { return *route_; }
  [[nodiscard]] comm::SummedGradients& sums() { return route_->sums(); }
  [[nodiscard]] int ranks() const { return world_.size(); }  ///< Local.
  /// How the parts are dealt; null when every holder has everything. Local.
  [[nodiscard]] const comm::Sharding* sharding() const { return sharding_.get(); }
  /// Bytes of each arena ("values", "compute", "first_moment", "second_moment", "average", "gradients") that
  /// there is memory for: of the holder, gradients of the common route too, other gradients of the rank.
  /// Local.
  [[nodiscard]] const std::map<std::string, std::size_t>& held_bytes() const { return held_bytes_; }

  /// One update of all values, after sums().finish(); sums().publish() must follow.
  void update(const UpdateScalars& scalars);

  [[nodiscard]] bool average_active() const { return average_active_; }
  /// Copies the values to the average, or forgets that there is one.
  void start_average();
  void stop_average() { average_active_ = false; }
  /// Exchanges values and average; does nothing while the average is not active. Between holders it sends the
  /// values once, as an update does; it takes no memory.
  void swap_average();
  /// Runs `write`, which gives values with ParameterStore::write(), on the ranks of every holder, each told
  /// its number among them; what one of them throws, all of these throw.
  void write_values(const std::function<void(int rank, int ranks)>& write);
  /// All values in the parameters' type: an arena that stays as it is while nobody updates these values.
  /// Where a holder has a share of them only, they are gathered, and take the memory of all of them on each
  /// holder.
  [[nodiscard]] Tensor whole_values() const;

  /// What a checkpoint holds: model, moments, and the average while it is active.
  [[nodiscard]] std::vector<checkpoint::NamedArena> arenas() const;
  void load(const checkpoint::Description& description, const std::filesystem::path& file);

 private:
  /// What the gather of a bucket sends, message by message.
  using Messages = std::vector<std::vector<comm::BucketGather::Segment>>;

  [[nodiscard]] Tensor make_arena(const std::string& role, std::int64_t elements, DType type);
  void make_sharding(const ShardSettings& shard);
  /// The parameters that operations read in the parameters' own type.
  [[nodiscard]] std::vector<comm::Slice> exact_ranges() const;
  /// What this holder keeps of the values where it does not need all.
  [[nodiscard]] std::vector<comm::Slice> kept_values() const;
  [[nodiscard]] std::vector<nn::ElementRange> kept_ranges() const;  ///< the same for the store
  [[nodiscard]] bool keeps_all_values() const;
  [[nodiscard]] Messages messages_of(std::size_t bucket) const;
  /// This rank wrote its part of the values of a bucket, and of their copy.
  void send(std::size_t bucket);
  /// Every rank wrote its parts of the values: completes them in the memory of all holders.
  void complete(std::size_t buckets);
  void make_route();

  comm::Communicator world_;
  bool shared_;  ///< the ranks of a node have one copy of the values and of what the optimizer keeps
  comm::Communicator sharers_;
  GradientRoute::Kind kind_;
  bool average_active_ = false;
  nn::ParameterStore store_;
  std::shared_ptr<const comm::Sharding> sharding_;
  std::shared_ptr<comm::BucketGather> gather_;
  std::map<std::string, std::size_t> held_bytes_;
  std::optional<comm::SharedArena> gradients_;
  std::unique_ptr<AdamW> optimizer_;
  std::unique_ptr<GradientRoute> route_;
};

}  // namespace tessera::train
