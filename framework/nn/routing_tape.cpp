#include "nn/routing_tape.hpp"

#include <utility>

#include "ops/experts.hpp"

namespace tessera::nn {
namespace {

thread_local RoutingTape* innermost = nullptr;

}  // namespace

RoutingTape::RoutingTape() : outer_(std::exchange(innermost, this)) {}

RoutingTape::RoutingTape(std::vector<Tensor> decisions)
    : decisions_(std::move(decisions)), replay_(true), outer_(std::exchange(innermost, this)) {}

RoutingTape::~RoutingTape() { innermost = outer_; }

Tensor choose_tokens(const Tensor& probabilities, std::int64_t count) {
  RoutingTape* tape = innermost;
  if (tape == nullptr) return ops::choose_tokens(probabilities, count);
  if (!tape->replay_) {
    tape->decisions_.push_back(ops::choose_tokens(probabilities, count));
    return tape->decisions_.back();
  }
  const Shape expected{probabilities.shape()[2], probabilities.shape()[0], count};
  if (tape->next_ >= tape->decisions_.size() || !(tape->decisions_[tape->next_].shape() == expected)) {
    throw Error("the recorded routing does not fit the model: decision " + std::to_string(tape->next_));
  }
  return tape->decisions_[tape->next_++];
}

}  // namespace tessera::nn
