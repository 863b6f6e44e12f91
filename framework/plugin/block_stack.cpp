#include "plugin/block_stack.hpp"

namespace tessera {

std::vector<double> ramp(double first, double last, std::int64_t count) {
  std::vector<double> values(static_cast<std::size_t>(count), first);
  if (count < 2) return values;
  const double step = (last - first) / static_cast<double>(count - 1);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i) * step + first;
  values.back() = last;
  return values;
}

std::vector<double> spread(const std::vector<double>& values, std::int64_t blocks) {
  const auto count = static_cast<std::int64_t>(values.size());
  if (count == 0 || blocks % count != 0) {
    throw Error("a list of " + std::to_string(count) + " ratios cannot be spread over " +
                    std::to_string(blocks) + " blocks",
                {}, "give one ratio per block, or a number of ratios that divides the depth");
  }
  std::vector<double> all;
  for (const double value : values) all.insert(all.end(), static_cast<std::size_t>(blocks / count), value);
  return all;
}

bool has_experts(const StackSpec& spec, std::int64_t block) {
  const auto last = static_cast<std::int64_t>(spec.qkv_ratios.size()) - 1;
  return spec.experts_every > 0 && block >= 1 && (block + 1) % spec.experts_every == 0 &&
         (spec.experts_in_last || block != last);
}

BlockStack::BlockStack(const StackSpec& spec, Modulation& modulation, Assembly& assembly) : spec_(spec) {
  for (std::size_t i = 0; i < spec.qkv_ratios.size(); ++i) {
    blocks_.push_back(make_block(static_cast<std::int64_t>(i), modulation, assembly));
    add_child(std::to_string(i), *blocks_.back());
  }
}

std::unique_ptr<TransformerBlock> BlockStack::make_block(std::int64_t index, Modulation& modulation,
                                                         Assembly& assembly) const {
  const auto i = static_cast<std::size_t>(index);
  BlockSpec block = spec_.block;
  block.qkv_width = scaled_qkv_width(block.width, spec_.qkv_ratios.at(i), block.head_dim);
  block.initial = spec_.initial.at(i);
  auto feed_forward = assembly.make<FeedForward>(has_experts(spec_, index) ? "experts" : "feed_forward",
                                                 {.width = block.width,
                                                  .ratio = spec_.mlp_ratios.at(i),
                                                  .input = block.initial.input,
                                                  .output = block.initial.output});
  return std::make_unique<TransformerBlock>(block, std::move(feed_forward), modulation, index);
}

ops::Variable BlockStack::forward(ops::Variable x, const nn::Context& context, const ops::Variable& prepared,
                                  const ops::Variable& control) const {
  const BlockInputs inputs{context, prepared};
  if (route_ != nullptr && control.defined()) return route_->forward(*this, std::move(x), inputs, control);
  for (const auto& block : blocks_) x = run(*block, x, inputs);
  return x;
}

ops::Variable BlockStack::run(const TransformerBlock& block, const ops::Variable& x,
                              const BlockInputs& inputs) const {
  const auto body = [&block, offsets = inputs.context.offsets](const std::vector<ops::Variable>& given) {
    return block.forward(given[0], {given[1], offsets}, given[2]);
  };
  const std::vector<ops::Variable> given{x, inputs.context.tokens, inputs.prepared};
  return spec_.recompute ? ops::recompute(body, given) : body(given);
}

BlockCopies BlockStack::copies(std::int64_t count, Assembly& assembly) const {
  BlockCopies copies;
  copies.modulation = assembly.make<Modulation>(
      "modulation", {.blocks = count, .width = width(), .condition_width = spec_.condition_width});
  for (std::int64_t i = 0; i < count; ++i) {
    copies.blocks.push_back(make_block(i, *copies.modulation, assembly));
  }
  return copies;
}

void BlockStack::set_route(const BlockRoute& route) {
  if (route_ != nullptr) {
    throw Error("the model's blocks have an adapter already", {}, "attach one adapter to a model");
  }
  route_ = &route;
}

}  // namespace tessera
