#include "fixture.hpp"

#include "ops/accumulate.hpp"

namespace tessera::parity {

Fixture::Fixture(const std::string& path) : path_(path), file_(io::Hdf5File::open(path)) {}

std::string Fixture::config() const { return file_.string_attribute("/", "config_json"); }

std::vector<std::string> Fixture::cases() const {
  std::vector<std::string> names;
  for (const std::string& name : file_.members("/")) {
    if (name.starts_with("case_")) names.push_back(name);
  }
  return names.empty() ? std::vector<std::string>{""} : names;
}

std::string Fixture::resolve(const std::string& object) const {
  const std::string inner = "/" + case_ + "/" + object;
  return !case_.empty() && file_.exists(inner) ? inner : "/" + object;
}

bool Fixture::has(const std::string& object) const { return file_.exists(resolve(object)); }

Shape Fixture::shape(const std::string& object) const {
  const io::Hdf5Dataset dataset = file_.dataset(resolve(object));
  Shape shape;
  for (const std::uint64_t extent : dataset.shape) shape.append(static_cast<std::int64_t>(extent));
  return shape;
}

std::vector<double> Fixture::values(const std::string& object) const {
  return file_.read<double>(resolve(object));
}

std::vector<std::int32_t> Fixture::integers(const std::string& object) const {
  const std::vector<std::int64_t> wide = file_.read<std::int64_t>(resolve(object));
  return {wide.begin(), wide.end()};
}

Tensor Fixture::tensor(const std::string& object, DType type) const {
  return ops::converted(Tensor::from_host(values(object), shape(object)), type);
}

double Fixture::guidance() const { return file_.number_attribute("/" + case_, "guidance_scale"); }

std::vector<std::string> Fixture::members(const std::string& group) const {
  return file_.members(resolve(group));
}

}  // namespace tessera::parity
