#include "comparison.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.hpp"
#include "ops/accumulate.hpp"

namespace tessera::parity {

void Comparison::check(Quantity quantity, const std::string& name, const Tensor& actual,
                       const std::vector<double>& expected, double scale) {
  if (!actual.defined()) {
    check(quantity, name, std::vector<double>(expected.size(), 0.0), expected, scale);
    return;
  }
  check(quantity, name, ops::converted(actual, DType::f64).to_host<double>(), expected, scale);
}

void Comparison::check(Quantity quantity, const std::string& name, const std::vector<double>& actual,
                       const std::vector<double>& expected, double scale, double allowance) {
  ++compared_;
  if (actual.size() != expected.size()) {
    std::printf("FAIL %-56s has %zu values, the reference %zu\n", name.c_str(), actual.size(),
                expected.size());
    ++failures_;
    return;
  }
  double difference = 0;
  double absmax = 0;
  double dot = 0;
  double actual_norm = 0;
  double expected_norm = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual[i] - expected[i]);
    difference = error > difference || std::isnan(error) ? error : difference;
    absmax = std::max(absmax, std::abs(expected[i]));
    dot += actual[i] * expected[i];
    actual_norm += actual[i] * actual[i];
    expected_norm += expected[i] * expected[i];
  }
  const double error = difference / std::max({scale > 0 ? scale : absmax, tolerances_.floor});
  const double norms = std::sqrt(actual_norm * expected_norm);
  // Two vanishing gradients agree; a vanishing one against another does not.
  const double cosine = norms > 0 ? dot / norms : (actual_norm == expected_norm ? 1.0 : 0.0);
  const bool by_cosine = quantity == Quantity::gradient && tolerances_.gradient_cosine > -1;
  const double tolerance =
      allowance + (quantity == Quantity::output ? tolerances_.output : tolerances_.gradient);
  const bool good = by_cosine ? cosine >= tolerances_.gradient_cosine : error <= tolerance;  // false for NaN
  if (by_cosine) {
    std::printf("%s %-56s cosine %.6f\n", good ? "ok  " : "FAIL", name.c_str(), cosine);
    if (!(cosine >= worst_cosine_)) {
      worst_cosine_ = cosine;
      worst_cosine_name_ = name;
    }
  } else {
    std::printf("%s %-56s error %.2e\n", good ? "ok  " : "FAIL", name.c_str(), error);
    if (!(error <= worst_error_)) {
      worst_error_ = error;
      worst_name_ = name;
    }
  }
  if (!good) ++failures_;
}

void Comparison::print_summary() const {
  std::printf("%s: %d quantities compared, %d outside the tolerance, worst relative error %.3e%s%s",
              passed() ? "PASS" : "FAIL", compared_, failures_, worst_error_,
              worst_name_.empty() ? "" : " in ", worst_name_.c_str());
  if (!worst_cosine_name_.empty()) {
    std::printf(", smallest cosine %.6f in %s", worst_cosine_, worst_cosine_name_.c_str());
  }
  std::printf("\n");
}

}  // namespace tessera::parity
