#include "plugin/guided_network.hpp"

#include "base/error.hpp"
#include "ops/accumulate.hpp"

namespace tessera {
namespace {

template <class T>
void append_copy(std::vector<T>& list) {
  const std::vector<T> once = list;
  list.insert(list.end(), once.begin(), once.end());
}

}  // namespace

GuidedNetwork::GuidedNetwork(const Backbone& network, const DenoiserRequest& request,
                             std::int64_t guided_channels)
    : network_(network),
      shape_(request.shape),
      guidance_(request.guidance),
      guided_channels_(guided_channels < 0 ? request.shape[1] : guided_channels),
      condition_(condition_of(request)) {}

Condition GuidedNetwork::condition_of(const DenoiserRequest& request) const {
  Condition condition;
  const std::int64_t batch = shape_[0];
  const std::int64_t rows = guided() ? 2 * batch : batch;
  if (const CaptionConditioner* captions = network_.captions()) {
    std::vector<float> features = request.captions;
    const std::int64_t per_image = static_cast<std::int64_t>(features.size()) / batch;
    if (request.caption_width <= 0 || per_image == 0 || per_image % request.caption_width != 0) {
      throw Error("a caption of " + std::to_string(per_image) +
                  " values is no whole number of positions of " + std::to_string(request.caption_width) +
                  " features");
    }
    const std::int64_t length = per_image / request.caption_width;
    condition.captions.lengths = request.caption_lengths;
    if (guided()) {
      const std::vector<float> null = captions->null_features(length);
      for (std::int64_t b = 0; b < batch; ++b) features.insert(features.end(), null.begin(), null.end());
      append_copy(condition.captions.lengths);  // the null caption is as long as the prompt
    }
    condition.captions.features = ops::Variable(ops::converted(
        Tensor::from_host(features, {rows, length, request.caption_width}), network_.precision().residual));
  }
  if (!request.control.empty()) {
    std::vector<float> control = request.control;
    if (guided()) append_copy(control);  // guidance is between captions: both sides follow the map
    condition.control = ops::converted(Tensor::from_host(control, {rows, shape_[1], shape_[2], shape_[3]}),
                                       network_.precision().residual);
  }
  condition.facts = request.facts;
  if (guided()) {
    for (auto* facts : {&condition.facts.height, &condition.facts.width, &condition.facts.aspect}) {
      append_copy(*facts);
    }
    auto& label = condition.facts.label;
    label.insert(label.end(), label.size(), PictureFacts::no_label);
  }
  return condition;
}

std::vector<double> GuidedNetwork::evaluate(const std::vector<double>& input, double level) const {
  const ops::NoGradScope no_grad;
  const std::int64_t rows = guided() ? 2 * shape_[0] : shape_[0];
  std::vector<double> latents = input;
  if (guided()) append_copy(latents);
  const std::vector<double> levels(static_cast<std::size_t>(rows), level);
  const DType type = network_.precision().residual;
  const Tensor output =
      network_
          .forward({ops::Variable(ops::converted(
                        Tensor::from_host(latents, {rows, shape_[1], shape_[2], shape_[3]}), type)),
                    ops::converted(Tensor::from_host(levels, {rows}), type), condition_, nullptr})
          .value();
  std::vector<double> raw = ops::converted(output, DType::f64).to_host<double>();
  if (!guided()) return raw;
  const std::size_t count = raw.size() / 2;
  const auto plane = static_cast<std::size_t>(shape_[2] * shape_[3]);
  const auto channels = static_cast<std::size_t>(output.shape()[1]);
  for (std::size_t i = 0; i < count; ++i) {
    if (i / plane % channels >= static_cast<std::size_t>(guided_channels_)) continue;
    raw[i] = raw[count + i] + guidance_ * (raw[i] - raw[count + i]);
  }
  raw.resize(count);
  return raw;
}

}  // namespace tessera
