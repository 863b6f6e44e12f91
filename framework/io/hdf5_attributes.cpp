#include <limits>

#include "io/hdf5_handle.hpp"

namespace tessera::io {
namespace {

using detail::Handle;
using detail::Place;
using detail::require;

struct OpenAttribute {
  Handle attribute;
  Handle type;
  Handle space;
  std::uint64_t count;
};

std::string described(const std::string& object, const std::string& name) {
  return object + "@" + name;  // how HDF5's own tools write an attribute
}

OpenAttribute open_attribute(std::int64_t file, const std::string& object, const std::string& name,
                             const Place& place) {
  detail::prepare_hdf5();
  const htri_t there = require(H5Aexists_by_name(file, object.c_str(), name.c_str(), H5P_DEFAULT), place,
                               "look for this attribute");
  if (there == 0) {
    throw Error("this attribute is missing.", place.text(), "Check that the file is of the kind expected.");
  }
  Handle attribute(require(H5Aopen_by_name(file, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                           place, "open this attribute"),
                   H5Aclose);
  Handle type(require(H5Aget_type(attribute.id()), place, "read its type"), H5Tclose);
  Handle space(require(H5Aget_space(attribute.id()), place, "read its shape"), H5Sclose);
  const hssize_t count = require(H5Sget_simple_extent_npoints(space.id()), place, "read its shape");
  return {std::move(attribute), std::move(type), std::move(space), static_cast<std::uint64_t>(count)};
}

[[noreturn]] void wrong_kind(const Place& place, const char* expected) {
  throw Error(std::string("this attribute is not ") + expected + ".", place.text(),
              "Check that the file is of the kind expected.");
}

template <class T>
std::vector<T> read_numbers(std::int64_t file, const std::string& object, const std::string& name,
                            const std::string& path) {
  const std::string label = described(object, name);
  const Place place{path, label};
  const OpenAttribute found = open_attribute(file, object, name, place);
  const H5T_class_t kind = H5Tget_class(found.type.id());
  const bool fits = kind == H5T_INTEGER || (kind == H5T_FLOAT && stored_type_of<T> == StoredType::f64);
  if (!fits) wrong_kind(place, stored_type_of<T> == StoredType::f64 ? "a number" : "an integer");
  std::vector<T> values(found.count);
  if (values.empty()) return values;
  const Handle memory = detail::make_type(stored_type_of<T>);
  require(H5Aread(found.attribute.id(), memory.id(), values.data()), place, "read this attribute");
  return values;
}

template <class T>
T read_number(std::int64_t file, const std::string& object, const std::string& name,
              const std::string& path) {
  const std::vector<T> values = read_numbers<T>(file, object, name, path);
  if (values.size() != 1) {
    const std::string label = described(object, name);
    wrong_kind(Place{path, label}, "a single value");
  }
  return values.front();
}

// `sizes` is null for a single value; `value` may be null where there is none (a list of length 0).
void write_attribute(std::int64_t file, const std::string& object, const std::string& name,
                     const std::string& path, StoredType type, const hsize_t* sizes, const void* value) {
  detail::prepare_hdf5();
  const std::string label = described(object, name);
  const Place place{path, label};
  if (H5Aexists_by_name(file, object.c_str(), name.c_str(), H5P_DEFAULT) > 0) {
    require(H5Adelete_by_name(file, object.c_str(), name.c_str(), H5P_DEFAULT), place,
            "replace this attribute");
  }
  const Handle space(sizes == nullptr ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, sizes, nullptr),
                     H5Sclose);
  const Handle stored = detail::make_type(type);
  const Handle made(require(H5Acreate_by_name(file, object.c_str(), name.c_str(), stored.id(), space.id(),
                                              H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                            place, "make this attribute"),
                    H5Aclose);
  if (value != nullptr) require(H5Awrite(made.id(), stored.id(), value), place, "write this attribute");
}

}  // namespace

void Hdf5File::set_attribute(const std::string& object, const std::string& name, std::string_view value) {
  const std::string text(value);
  const char* pointer = text.c_str();
  write_attribute(id_, object, name, path_, StoredType::string, nullptr, &pointer);
}

void Hdf5File::set_attribute(const std::string& object, const std::string& name, std::int64_t value) {
  write_attribute(id_, object, name, path_, StoredType::i64, nullptr, &value);
}

void Hdf5File::set_attribute(const std::string& object, const std::string& name, double value) {
  write_attribute(id_, object, name, path_, StoredType::f64, nullptr, &value);
}

void Hdf5File::set_attribute(const std::string& object, const std::string& name,
                             std::span<const std::int64_t> values) {
  const hsize_t count = values.size();
  write_attribute(id_, object, name, path_, StoredType::i64, &count, values.data());
}

void Hdf5File::set_attribute(const std::string& object, const std::string& name,
                             std::span<const double> values) {
  const hsize_t count = values.size();
  write_attribute(id_, object, name, path_, StoredType::f64, &count, values.data());
}

bool Hdf5File::has_attribute(const std::string& object, const std::string& name) const {
  detail::prepare_hdf5();
  return require(H5Aexists_by_name(id_, object.c_str(), name.c_str(), H5P_DEFAULT), Place{path_, object},
                 "look for an attribute") > 0;
}

std::vector<std::string> Hdf5File::attribute_names(const std::string& object) const {
  detail::prepare_hdf5();
  const Place place{path_, object};
  const Handle opened(require(H5Oopen(id_, object.c_str(), H5P_DEFAULT), place, "open this object"),
                      H5Oclose);
  std::vector<std::string> names;
  const auto take = [](hid_t, const char* name, const H5A_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  require(H5Aiterate2(opened.id(), H5_INDEX_NAME, H5_ITER_INC, nullptr, take, &names), place,
          "list its attributes");
  return names;
}

std::string Hdf5File::string_attribute(const std::string& object, const std::string& name) const {
  const std::string label = described(object, name);
  const Place place{path_, label};
  const OpenAttribute found = open_attribute(id_, object, name, place);
  if (H5Tget_class(found.type.id()) != H5T_STRING || found.count != 1) wrong_kind(place, "a string");
  if (H5Tis_variable_str(found.type.id()) > 0) {
    char* text = nullptr;
    const Handle memory(H5Tcopy(found.type.id()), H5Tclose);
    require(H5Aread(found.attribute.id(), memory.id(), &text), place, "read this attribute");
    std::string value = text == nullptr ? "" : text;
    H5Dvlen_reclaim(memory.id(), found.space.id(), H5P_DEFAULT, &text);
    return value;
  }
  std::string value(H5Tget_size(found.type.id()), '\0');
  require(H5Aread(found.attribute.id(), found.type.id(), value.data()), place, "read this attribute");
  value.resize(value.find_last_not_of('\0') + 1);  // padding of a fixed-length string
  return value;
}

std::int64_t Hdf5File::integer_attribute(const std::string& object, const std::string& name) const {
  return read_number<std::int64_t>(id_, object, name, path_);
}

double Hdf5File::number_attribute(const std::string& object, const std::string& name) const {
  return read_number<double>(id_, object, name, path_);
}

std::vector<std::int64_t> Hdf5File::integers_attribute(const std::string& object,
                                                       const std::string& name) const {
  return read_numbers<std::int64_t>(id_, object, name, path_);
}

std::vector<double> Hdf5File::numbers_attribute(const std::string& object, const std::string& name) const {
  return read_numbers<double>(id_, object, name, path_);
}

}  // namespace tessera::io
