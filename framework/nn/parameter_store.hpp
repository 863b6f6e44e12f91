#pragma once
// Invariant: all parameters of a model lie in one flat arena, the trainable ones first, ordered by backward
// (the parameter whose gradient is complete first comes first). What only training has (gradients, moments,
// the running average) lies in arenas with the layout of that trainable prefix. Tensors are views into the
// arenas, so the optimizer, the reduction and sharding work on flat ranges.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "nn/module.hpp"

namespace tessera::nn {

/// Where one parameter lies in the arenas.
struct ParameterSlot {
  std::string name;  ///< official state-dict name
  Parameter* parameter;
  std::int64_t offset;  ///< in elements; a multiple of ParameterStore::alignment
  std::int64_t count;   ///< elements; the gap to the next slot is zero in every arena
  bool trainable;
};

/// Gives the memory of an arena of `elements` elements; lets ranks of a node share it.
using ArenaMaker = std::function<Tensor(const std::string& role, std::int64_t elements, DType type)>;

/// Elements [begin, end) of an arena.
struct ElementRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Where backward leaves the gradients of parameters.
enum class GradientFlow : std::uint8_t {
  into_arena,   ///< in the arena of gradients
  handed_over,  ///< with the parameters' nodes, for somebody to take and fill the arena from
  none          ///< nowhere: all parameters are constants, and there is no arena. For sampling
};

class ParameterStore {
 public:
  static constexpr std::int64_t alignment = 16;  ///< elements: a cache line of float32

  /// Lists the parameters of `model` in arena order. Takes no memory. Which are trainable is settled here.
  /// @throws Error when two parameters have one name.
  explicit ParameterStore(Module& model);

  /// Gives every parameter memory (meta tensors inside a MetaScope) and binds the tree to `precision`.
  /// Values are uninitialised. Roles: "values", "gradients" (of the trainable prefix), and "compute" when the
  /// compute type differs. @throws Error when a parameter was frozen or thawed since it was listed.
  void materialise(const Precision& precision, const ArenaMaker& maker = {},
                   GradientFlow flow = GradientFlow::into_arena);
  /// Says, before materialise(), that the arena of values will have memory for these elements alone, in order
  /// and apart from each other. Of the others there is the copy in the compute type.
  void hold_values(std::vector<ElementRange> ranges) { held_ = std::move(ranges); }
  /// Fills every parameter with its initial value, and the gaps with zeros.
  void initialize(std::uint64_t seed);
  /// Gives `fill` memory for the value of a parameter, keeps of what it writes there what values() has memory
  /// for, and renews the whole copy in the compute type.
  void write(const ParameterSlot& slot, const std::function<void(const Tensor& value)>& fill);

  [[nodiscard]] const std::vector<ParameterSlot>& slots() const { return slots_; }
  [[nodiscard]] std::span<const ParameterSlot> trainable_slots() const {
    return std::span(slots_).first(trainable_slots_);
  }
  /// Those that have a part in an arena of `elements` elements: all, or the trainable ones.
  /// @throws Error when it has the size of neither.
  [[nodiscard]] std::span<const ParameterSlot> slots_in(std::int64_t elements) const;
  /// @throws Error when there is no such parameter.
  [[nodiscard]] const ParameterSlot& slot(const std::string& name) const;
  [[nodiscard]] std::int64_t arena_elements() const { return elements_; }
  /// Of the prefix of the arena that holds the trainable parameters.
  [[nodiscard]] std::int64_t trainable_elements() const { return trainable_elements_; }
  [[nodiscard]] std::int64_t trainable_parameters() const;
  [[nodiscard]] std::int64_t frozen_parameters() const;
  [[nodiscard]] const Precision& precision() const { return precision_; }

  /// [arena_elements], with memory for what hold_values() said
  [[nodiscard]] const Tensor& values() const { return values_; }
  [[nodiscard]] const Tensor& gradients() const { return gradients_; }  ///< [trainable_elements]
  /// [arena_elements] in the compute type; undefined when that is the parameters' own.
  [[nodiscard]] const Tensor& compute_copy() const { return compute_; }
  /// The view of one parameter in an arena with this layout.
  /// @throws Error when the arena has the trainable parameters only, and this is none.
  [[nodiscard]] Tensor view(const Tensor& arena, const ParameterSlot& slot) const;

  /// Forgets all gradients; memory of the arena is not touched until something is written.
  void clear_gradients();
  /// Writes zeros to gradients that backward did not reach, so that all of them are valid. For
  /// GradientFlow::into_arena.
  void zero_missing_gradients();
  /// Forgets first uses; call before each forward whose backward starts reductions.
  void clear_uses();
  /// Renews the copies in the compute type of the elements [begin, end), as far as their values are here,
  /// after these changed.
  void refresh_compute_copy(std::int64_t begin, std::int64_t end);
  void refresh_compute_copy() { refresh_compute_copy(0, elements_); }

 private:
  /// Those parts of [begin, end) that values() has memory for.
  [[nodiscard]] std::vector<ElementRange> held_in(std::int64_t begin, std::int64_t end) const;
  [[nodiscard]] bool holds_whole(const ParameterSlot& slot) const;

  Module& model_;
  std::vector<ParameterSlot> slots_;  // trainable_slots_ trainable ones, then the others
  std::size_t trainable_slots_ = 0;
  std::int64_t elements_ = 0;
  std::int64_t trainable_elements_ = 0;
  Precision precision_;
  std::vector<ElementRange> held_;  // empty: all
  Tensor values_;
  Tensor gradients_;
  Tensor compute_;
};

}  // namespace tessera::nn
