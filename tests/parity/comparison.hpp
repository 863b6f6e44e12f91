#pragma once
// Invariant: every quantity of a fixture is compared and printed once; the run passes when all are within
// their tolerances.

#include <string>
#include <vector>

#include "tensor/tensor.hpp"

namespace tessera::parity {

enum class Quantity { output, gradient };

struct Tolerances {
  double output = 5e-6;
  double gradient = 5e-6;
  double floor = 1e-9;          ///< absolute: error = max|a-b| / max(absmax, floor)
  double gradient_cosine = -1;  ///< when above -1, gradients are judged by their cosine instead
};

class Comparison {
 public:
  /// From here on.
  void set_tolerances(const Tolerances& tolerances) { tolerances_ = tolerances; }

  /// Compares and prints. `scale` replaces absmax when positive: a sum of cancelling terms is compared
  /// against the size of its terms. `allowance` adds to the tolerance.
  void check(Quantity quantity, const std::string& name, const std::vector<double>& actual,
             const std::vector<double>& expected, double scale = 0, double allowance = 0);
  void check(Quantity quantity, const std::string& name, const Tensor& actual,
             const std::vector<double>& expected, double scale = 0);

  [[nodiscard]] bool passed() const { return failures_ == 0; }
  void print_summary() const;

 private:
  Tolerances tolerances_;
  int failures_ = 0;
  int compared_ = 0;
  double worst_error_ = 0;
  double worst_cosine_ = 1;
  std::string worst_name_;
  std::string worst_cosine_name_;
};

}  // namespace tessera::parity
