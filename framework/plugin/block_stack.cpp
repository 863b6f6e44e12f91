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

BlockStack::BlockStack(const StackSpec& spec, Modulation& modulation, Assembly& assembly)
    : recompute_(spec.recompute) {
  for (std::size_t i = 0; i < spec.qkv_ratios.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    BlockSpec block = spec.block;
    block.qkv_width = scaled_qkv_width(block.width, spec.qkv_ratios[i], block.head_dim);
    block.initial = spec.initial.at(i);
    auto feed_forward = assembly.make<FeedForward>(has_experts(spec, index) ? "experts" : "feed_forward",
                                                   {.width = block.width,
                                                    .ratio = spec.mlp_ratios.at(i),
                                                    .input = block.initial.input,
                                                    .output = block.initial.output});
    blocks_.push_back(std::make_unique<TransformerBlock>(block, std::move(feed_forward), modulation, index));
    add_child(std::to_string(i), *blocks_.back());
  }
}

ops::Variable BlockStack::forward(ops::Variable x, const nn::Context& context,
                                  const ops::Variable& prepared) const {
  for (const auto& block : blocks_) {
    const auto body = [&block = *block, offsets = context.offsets](const std::vector<ops::Variable>& inputs) {
      return block.forward(inputs[0], {inputs[1], offsets}, inputs[2]);
    };
    x = recompute_ ? ops::recompute(body, {x, context.tokens, prepared})
                   : body({x, context.tokens, prepared});
  }
  return x;
}

}  // namespace tessera
