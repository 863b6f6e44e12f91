#pragma once
// Invariant: while a tape lives on a thread, every routing decision made there is recorded in order, or
// taken from an earlier recording in the same order. Expert choice is discontinuous, so two precisions can
// be compared only along one routing.

#include <vector>

#include "tensor/tensor.hpp"

namespace tessera::nn {

class RoutingTape {
 public:
  /// Records decisions.
  RoutingTape();
  /// Replays `decisions`. @throws Error from choose() when there are too few, or the shapes differ.
  explicit RoutingTape(std::vector<Tensor> decisions);
  ~RoutingTape();
  RoutingTape(const RoutingTape&) = delete;
  RoutingTape& operator=(const RoutingTape&) = delete;

  [[nodiscard]] const std::vector<Tensor>& decisions() const { return decisions_; }

 private:
  friend Tensor choose_tokens(const Tensor& probabilities, std::int64_t count);
  std::vector<Tensor> decisions_;
  std::size_t next_ = 0;
  bool replay_ = false;
  RoutingTape* outer_;
};

/// ops::choose_tokens, through the tape of this thread if there is one.
[[nodiscard]] Tensor choose_tokens(const Tensor& probabilities, std::int64_t count);

}  // namespace tessera::nn
