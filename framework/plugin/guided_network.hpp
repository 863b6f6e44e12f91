#pragma once
// Invariant: classifier-free guidance (Ho and Salimans 2022) is applied here, to the raw output of the
// network, for every objective: conditional and unconditional inputs go through it as one batch.

#include <vector>

#include "plugin/slots/objective.hpp"

namespace tessera {

/// A network at the condition of one request.
class GuidedNetwork {
 public:
  /// @param guided_channels  output channels that guidance acts on, from the first; the others are the
  ///                         conditional ones. Negative: as many as the latent has.
  /// @throws Error when the request does not suit the network.
  GuidedNetwork(const Backbone& network, const DenoiserRequest& request, std::int64_t guided_channels = -1);

  /// Raw output [batch, output channels, height, width] for input [batch, channels, height, width], as the
  /// network sees it, at one noise level.
  [[nodiscard]] std::vector<double> evaluate(const std::vector<double>& input, double level) const;
  [[nodiscard]] const Shape& shape() const { return shape_; }  ///< of the input

 private:
  [[nodiscard]] bool guided() const { return guidance_ > 1.0; }
  [[nodiscard]] Condition condition_of(const DenoiserRequest& request) const;

  const Backbone& network_;
  Shape shape_;
  double guidance_;
  std::int64_t guided_channels_;
  Condition condition_;
};

}  // namespace tessera
