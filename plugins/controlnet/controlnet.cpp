#include "controlnet.hpp"

#include "ops/residual.hpp"

namespace tessera {
namespace {

nn::Initializer zero() { return nn::Initializer::constant(0); }

}  // namespace

ControlBlock::ControlBlock(TransformerBlock& copy, std::int64_t width, bool mapped)
    : copy_(copy), after_(width, width, true, zero()) {
  if (mapped) {
    before_ = std::make_unique<nn::Linear>(width, width, true, zero());
    add_child("before_proj", *before_);
  }
  add_child("copied_block", copy_);
  add_child("after_proj", after_);
}

ops::Variable ControlBlock::enter(const ops::Variable& x, const ops::Variable& control) const {
  return ops::residual(x, before_->forward(control));
}

ops::Variable ControlBlock::add_to(const ops::Variable& x, const ops::Variable& copied) const {
  return ops::residual(x, after_.forward(copied));
}

ControlNet::ControlNet(const BlockStack& stack, Wiring wiring, std::int64_t count, Assembly& assembly)
    : wiring_(wiring), copies_(stack.copies(count, assembly)) {
  for (std::size_t i = 0; i < copies_.blocks.size(); ++i) {
    const bool mapped = wiring == Wiring::per_block || i == 0;
    blocks_.push_back(std::make_unique<ControlBlock>(*copies_.blocks[i], stack.width(), mapped));
    add_child(std::to_string(i), *blocks_.back());
  }
}

ops::Variable ControlNet::forward(const BlockStack& stack, ops::Variable x, const BlockInputs& inputs,
                                  const ops::Variable& control) const {
  const auto copies = static_cast<std::int64_t>(blocks_.size());
  ops::Variable chained;
  for (std::int64_t i = 0; i < stack.depth(); ++i) {
    const ops::Variable y = stack.run(stack.block(i), x, inputs);
    if (i >= copies) {
      x = y;
      continue;
    }
    const ControlBlock& block = *blocks_[static_cast<std::size_t>(i)];
    if (wiring_ == Wiring::per_block) {
      chained = block.enter(x, control);
    } else if (i == 0) {
      chained = block.enter(y, control);  // the first copy reads what the first block made
    }
    chained = stack.run(block.copy(), chained, inputs);
    x = block.add_to(y, chained);
  }
  return x;
}

}  // namespace tessera
