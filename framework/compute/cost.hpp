#pragma once
// Invariant: inside a CostScope every operation adds the floating-point operations it does (a multiply-add
// counts two), whether it computes or only infers shapes.

namespace tessera::compute {

struct Cost {
  double matmul_flops = 0;     ///< dense products, experts included
  double attention_flops = 0;  ///< score and value products
  /// What carrying tokens to their experts and back would add as products with one-hot matrices, which is how
  /// the published code does it and the paper counts it. Not done here, where tokens are gathered.
  double one_hot_flops = 0;
};

/// Collects the cost of the operations run on this thread while it lives; the innermost scope collects, and
/// hands its sum to the enclosing one when it ends.
class CostScope {
 public:
  CostScope();
  ~CostScope();
  CostScope(const CostScope&) = delete;
  CostScope& operator=(const CostScope&) = delete;
  [[nodiscard]] const Cost& cost() const { return cost_; }

 private:
  friend void add_matmul_flops(double);
  friend void add_attention_flops(double);
  friend void add_one_hot_flops(double);
  Cost cost_;
  CostScope* outer_;
};

void add_matmul_flops(double flops);
void add_attention_flops(double flops);
void add_one_hot_flops(double flops);

}  // namespace tessera::compute
