#pragma once
// Invariant: a Fixture is one recorded case: a file, and a group in it whose inputs, random numbers and
// outputs override those at the root.

#include <string>
#include <vector>

#include "io/hdf5.hpp"
#include "tensor/tensor.hpp"

namespace tessera::parity {

class Fixture {
 public:
  explicit Fixture(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string config() const;              ///< the JSON text config_json
  [[nodiscard]] std::vector<std::string> cases() const;  ///< groups "case_*"; {""} when there are none
  /// Reads from group `one_case` where it has the object, else from the root.
  void select(const std::string& one_case) { case_ = one_case; }
  [[nodiscard]] const std::string& selected() const { return case_; }

  [[nodiscard]] bool has(const std::string& object) const;
  [[nodiscard]] std::vector<double> values(const std::string& object) const;
  [[nodiscard]] std::vector<std::int32_t> integers(const std::string& object) const;
  [[nodiscard]] Shape shape(const std::string& object) const;
  [[nodiscard]] Tensor tensor(const std::string& object, DType type) const;
  /// The guidance scale recorded with the selected case.
  [[nodiscard]] double guidance() const;
  /// Names of the data sets in a group.
  [[nodiscard]] std::vector<std::string> members(const std::string& group) const;

 private:
  [[nodiscard]] std::string resolve(const std::string& object) const;

  std::string path_;
  io::Hdf5File file_;
  std::string case_;
};

}  // namespace tessera::parity
