#include "compute/cost.hpp"

namespace tessera::compute {
namespace {

thread_local CostScope* innermost = nullptr;

}  // namespace

CostScope::CostScope() : outer_(innermost) { innermost = this; }

CostScope::~CostScope() {
  innermost = outer_;
  if (outer_ != nullptr) {
    outer_->cost_.matmul_flops += cost_.matmul_flops;
    outer_->cost_.attention_flops += cost_.attention_flops;
    outer_->cost_.one_hot_flops += cost_.one_hot_flops;
  }
}

void add_matmul_flops(double flops) {
  if (innermost != nullptr) innermost->cost_.matmul_flops += flops;
}

void add_attention_flops(double flops) {
  if (innermost != nullptr) innermost->cost_.attention_flops += flops;
}

void add_one_hot_flops(double flops) {
  if (innermost != nullptr) innermost->cost_.one_hot_flops += flops;
}

}  // namespace tessera::compute
