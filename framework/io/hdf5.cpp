#include "io/hdf5.hpp"

#include <algorithm>
#include <limits>

#include "io/hdf5_handle.hpp"

namespace tessera::io {
namespace {

using detail::Handle;
using detail::hdf5_error;
using detail::Place;
using detail::require;

const std::string kWholeFile;

Handle open_dataset(std::int64_t file, const Place& place) {
  detail::prepare_hdf5();
  return {require(H5Dopen2(file, place.object.c_str(), H5P_DEFAULT), place, "open this data set"), H5Dclose};
}

Handle link_creation() {
  Handle properties(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(properties.id(), 1);
  return properties;
}

std::vector<std::uint64_t> shape_of(hid_t space, const Place& place) {
  const int rank = require(H5Sget_simple_extent_ndims(space), place, "read its shape");
  std::vector<hsize_t> sizes(static_cast<std::size_t>(rank));
  require(H5Sget_simple_extent_dims(space, sizes.data(), nullptr), place, "read its shape");
  return {sizes.begin(), sizes.end()};
}

std::uint64_t count_elements(const std::vector<std::uint64_t>& shape, std::size_t element_bytes,
                             const Place& place) {
  std::uint64_t count = 1;
  // Bytes must also fit a signed 64-bit file offset.
  std::uint64_t room = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) /
                       std::max<std::size_t>(element_bytes, 1);
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  for (const std::uint64_t size : shape) {
    if (size > room / count) {
      throw Error("the data set claims more elements than any file can hold.", place.text(),
                  "The file is damaged: copy or build it again.");
    }
    count *= size;
  }
  return count;
}

void collect_datasets(const Hdf5File& file, const std::string& group, std::vector<std::string>& found,
                      int depth) {
  constexpr int kDeepest = 64;  // a file may link a group into itself
  if (depth > kDeepest) {
    throw Error("groups are nested more than " + std::to_string(kDeepest) + " deep.", file.path(),
                "The file is damaged, or a group contains itself.");
  }
  for (const std::string& name : file.members(group)) {
    std::string child = group == "/" ? "/" + name : group + "/" + name;
    if (file.is_dataset(child)) {
      found.push_back(std::move(child));
    } else {
      collect_datasets(file, child, found, depth + 1);
    }
  }
}

}  // namespace

Hdf5File::~Hdf5File() {
  if (id_ >= 0) H5Fclose(id_);
}

Hdf5File Hdf5File::create(const std::string& path, const Hdf5Layout& layout) {
  detail::prepare_hdf5();
  File::create(path).close();  // for the system's reason rather than HDF5's when the path is unusable
  const Place place{path, kWholeFile};
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  require(H5Pset_libver_bounds(access.id(), H5F_LIBVER_EARLIEST, H5F_LIBVER_V18), place, "set the format");
  // HDF5 refuses an alignment above the user block.
  const std::uint64_t alignment =
      layout.user_block == 0 ? layout.alignment : std::min(layout.alignment, layout.user_block);
  require(H5Pset_alignment(access.id(), alignment, alignment), place, "set the alignment");
  require(H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG), place, "set how it closes");
  const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  require(H5Pset_userblock(creation.id(), layout.user_block), place, "set the user block");
  Hdf5File file;
  file.path_ = path;
  file.id_ = require(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.id(), access.id()), place, "create it");
  return file;
}

Hdf5File Hdf5File::open(const std::string& path, Hdf5Access access) {
  detail::prepare_hdf5();
  const bool update = access == Hdf5Access::read_write;
  (update ? File::open_update(path) : File::open_read(path)).close();
  const Place place{path, kWholeFile};
  const Handle properties(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  require(H5Pset_fclose_degree(properties.id(), H5F_CLOSE_STRONG), place, "set how it closes");
  Hdf5File file;
  file.path_ = path;
  file.id_ = require(H5Fopen(path.c_str(), update ? H5F_ACC_RDWR : H5F_ACC_RDONLY, properties.id()), place,
                     "open it as an HDF5 file");
  return file;
}

void Hdf5File::flush() {
  detail::prepare_hdf5();
  require(H5Fflush(id_, H5F_SCOPE_LOCAL), {path_, kWholeFile}, "write it out");
}

void Hdf5File::close() {
  if (id_ < 0) return;
  detail::prepare_hdf5();
  require(H5Fclose(std::exchange(id_, -1)), {path_, kWholeFile}, "close it");
}

void Hdf5File::create_group(const std::string& group) {
  if (exists(group)) return;
  const Place place{path_, group};
  const Handle links = link_creation();
  const Handle made(
      require(H5Gcreate2(id_, group.c_str(), links.id(), H5P_DEFAULT, H5P_DEFAULT), place, "make this group"),
      H5Gclose);
}

Extent Hdf5File::create_dataset(const std::string& dataset, StoredType type,
                                std::span<const std::uint64_t> shape) {
  detail::prepare_hdf5();
  const Place place{path_, dataset};
  const std::vector<hsize_t> sizes(shape.begin(), shape.end());
  const Handle space(require(H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr), place,
                             "describe the shape of this data set"),
                     H5Sclose);
  const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  require(H5Pset_layout(creation.id(), H5D_CONTIGUOUS), place, "lay it out");
  require(H5Pset_alloc_time(creation.id(), H5D_ALLOC_TIME_EARLY), place, "lay it out");
  if (type != StoredType::string) {  // HDF5 wants strings to start as empty ones
    require(H5Pset_fill_time(creation.id(), H5D_FILL_TIME_NEVER), place, "lay it out");
  }
  // Time stamps would make two files of the same content differ.
  require(H5Pset_obj_track_times(creation.id(), false), place, "lay it out");
  const Handle links = link_creation();
  const Handle stored = detail::make_type(type);
  const Handle made(require(H5Dcreate2(id_, dataset.c_str(), stored.id(), space.id(), links.id(),
                                       creation.id(), H5P_DEFAULT),
                            place, "make this data set"),
                    H5Dclose);
  const std::uint64_t bytes =
      count_elements({shape.begin(), shape.end()}, size_of(type), place) * size_of(type);
  if (bytes == 0) return {};
  const haddr_t offset = H5Dget_offset(made.id());
  if (offset == HADDR_UNDEF) throw hdf5_error(place, "find where this data set lies in the file");
  return {offset, bytes};
}

bool Hdf5File::exists(const std::string& object) const {
  detail::prepare_hdf5();
  const Place place{path_, object};
  if (object == "/") return true;
  // HDF5 wants every step of the path asked for in turn.
  std::size_t end = 0;
  while (end != std::string::npos) {
    end = object.find('/', end + 1);
    const std::string step = object.substr(0, end);
    if (require(H5Lexists(id_, step.c_str(), H5P_DEFAULT), place, "look for this object") == 0) return false;
  }
  return require(H5Oexists_by_name(id_, object.c_str(), H5P_DEFAULT), place, "look for this object") > 0;
}

bool Hdf5File::is_dataset(const std::string& object) const {
  detail::prepare_hdf5();
  const Place place{path_, object};
  const Handle opened(require(H5Oopen(id_, object.c_str(), H5P_DEFAULT), place, "open this object"),
                      H5Oclose);
  return H5Iget_type(opened.id()) == H5I_DATASET;
}

std::vector<std::string> Hdf5File::members(const std::string& group) const {
  detail::prepare_hdf5();
  const Place place{path_, group};
  const Handle opened(require(H5Gopen2(id_, group.c_str(), H5P_DEFAULT), place, "open this group"), H5Gclose);
  std::vector<std::string> names;
  const auto take = [](hid_t, const char* name, const H5L_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  require(H5Literate(opened.id(), H5_INDEX_NAME, H5_ITER_INC, nullptr, take, &names), place,
          "list this group");
  return names;
}

std::vector<std::string> Hdf5File::datasets(const std::string& group) const {
  std::vector<std::string> found;
  collect_datasets(*this, group, found, 0);
  return found;
}

Hdf5Dataset Hdf5File::dataset(const std::string& dataset) const {
  const Place place{path_, dataset};
  const Handle opened = open_dataset(id_, place);
  const Handle type(require(H5Dget_type(opened.id()), place, "read its type"), H5Tclose);
  const Handle space(require(H5Dget_space(opened.id()), place, "read its shape"), H5Sclose);
  const Handle creation(require(H5Dget_create_plist(opened.id()), place, "read its layout"), H5Pclose);
  Hdf5Dataset found;
  found.type = detail::classify(type.id());
  found.shape = shape_of(space.id(), place);
  found.elements = count_elements(found.shape, H5Tget_size(type.id()), place);
  if (H5Pget_layout(creation.id()) != H5D_CONTIGUOUS || size_of(found.type) == 0) return found;
  if (H5Pget_external_count(creation.id()) != 0) return found;
  found.extent = Extent{};
  const haddr_t offset = H5Dget_offset(opened.id());
  if (found.elements == 0 || offset == HADDR_UNDEF) {
    if (found.elements != 0) found.extent.reset();  // declared, never written: HDF5 reads fill values
    return found;
  }
  found.extent = Extent{offset, found.elements * size_of(found.type)};
  const std::uint64_t file_bytes = File::open_read(path_).size();
  if (offset > file_bytes || found.extent->bytes > file_bytes - offset) {
    throw Error("the data set should end at byte " + std::to_string(offset + found.extent->bytes) +
                    ", but the file has only " + std::to_string(file_bytes) + " bytes.",
                place.text(), "The file is truncated: copy or build it again.");
  }
  return found;
}

void Hdf5File::write(const std::string& dataset, StoredType memory, const void* from) {
  const Place place{path_, dataset};
  const Handle opened = open_dataset(id_, place);
  const Handle type = detail::make_type(memory);
  require(H5Dwrite(opened.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, from), place,
          "write this data set");
}

void Hdf5File::read(const std::string& dataset, StoredType memory, void* to) const {
  const Place place{path_, dataset};
  const Handle opened = open_dataset(id_, place);
  const Handle type = detail::make_type(memory);
  require(H5Dread(opened.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, to), place, "read this data set");
}

void Hdf5File::write_strings(const std::string& dataset, std::span<const std::string> values) {
  const std::uint64_t count = values.size();
  create_dataset(dataset, StoredType::string, std::span(&count, 1));
  if (values.empty()) return;
  std::vector<const char*> pointers;
  for (const std::string& value : values) pointers.push_back(value.c_str());
  write(dataset, StoredType::string, pointers.data());
}

std::vector<std::string> Hdf5File::read_strings(const std::string& dataset) const {
  const Place place{path_, dataset};
  const Handle opened = open_dataset(id_, place);
  const Handle stored(require(H5Dget_type(opened.id()), place, "read its type"), H5Tclose);
  if (H5Tis_variable_str(stored.id()) <= 0) {
    throw Error("this data set does not hold variable-length strings.", place.text(),
                "Check that the file is of the kind expected.");
  }
  const Handle space(require(H5Dget_space(opened.id()), place, "read its shape"), H5Sclose);
  const std::uint64_t count = count_elements(shape_of(space.id(), place), sizeof(char*), place);
  std::vector<char*> pointers(count, nullptr);
  if (count == 0) return {};
  const Handle type = detail::make_type(StoredType::string);
  require(H5Dread(opened.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()), place,
          "read these strings");
  std::vector<std::string> values;
  for (const char* text : pointers) values.emplace_back(text == nullptr ? "" : text);
  H5Dvlen_reclaim(type.id(), space.id(), H5P_DEFAULT, pointers.data());
  return values;
}

}  // namespace tessera::io
