#include "io/hdf5_handle.hpp"

#include <array>

#include "io/main_thread.hpp"

namespace tessera::io {

std::size_t size_of(StoredType type) {
  switch (type) {
    case StoredType::f64:
    case StoredType::i64:
    case StoredType::u64:
      return 8;
    case StoredType::f32:
    case StoredType::i32:
    case StoredType::u32:
      return 4;
    case StoredType::f16:
    case StoredType::bf16:
    case StoredType::u16:
      return 2;
    case StoredType::u8:
      return 1;
    case StoredType::string:
    case StoredType::other:
      break;
  }
  return 0;
}

const char* name_of(StoredType type) {
  constexpr std::array<const char*, 12> kNames{"float64", "float32", "float16", "bfloat16",
                                               "int64",   "int32",   "uint64",  "uint32",
                                               "uint16",  "uint8",   "string",  "other"};
  return kNames[static_cast<std::size_t>(type)];
}

namespace detail {
namespace {

herr_t take_innermost(unsigned depth, const H5E_error2_t* entry, void* text) {
  // The walk goes from the function that failed first to the one that was called.
  auto& reason = *static_cast<std::string*>(text);
  if (entry->desc != nullptr && (depth == 0 || reason.empty())) reason = entry->desc;
  return 0;
}

// A type of two bytes: sign, exponent, mantissa from the top bit down.
Handle make_short_float(std::size_t exponent_bits, std::size_t exponent_bias) {
  Handle type(H5Tcopy(H5T_IEEE_F32LE), H5Tclose);
  const std::size_t mantissa_bits = 15 - exponent_bits;
  H5Tset_fields(type.id(), 15, mantissa_bits, exponent_bits, 0, mantissa_bits);
  H5Tset_size(type.id(), 2);
  H5Tset_ebias(type.id(), exponent_bias);
  return type;
}

}  // namespace

void prepare_hdf5() {
  if (!MainThreadRole::held()) {
    throw Error("HDF5 was called outside the main thread.", "framework/io/hdf5",
                "Describe files on the main thread; move their bytes with io::File from any thread.");
  }
  static const herr_t silenced = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  (void)silenced;
}

std::string Place::text() const { return object.empty() ? file : file + ", object '" + object + "'"; }

Error hdf5_error(const Place& place, const std::string& action) {
  std::string reason;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_innermost, &reason);
  H5Eclear2(H5E_DEFAULT);
  if (reason.empty()) reason = "no reason given";
  std::string remedy = "Check that the file is complete and made by Tessera; copy or build it again.";
  if (reason.find("lock file") != std::string::npos) {
    remedy =
        "Close the program that has it open; on a file system without locks set "
        "HDF5_USE_FILE_LOCKING=FALSE in the environment.";
  } else if (reason.find("No space left") != std::string::npos) {
    remedy = "Free space on that disk (`df -h` shows it), or choose a folder on another one.";
  }
  return Error("cannot " + action + " (HDF5: " + reason + ").", place.text(), remedy);
}

Handle make_type(StoredType type) {
  switch (type) {
    case StoredType::f64:
      return {H5Tcopy(H5T_IEEE_F64LE), H5Tclose};
    case StoredType::f32:
      return {H5Tcopy(H5T_IEEE_F32LE), H5Tclose};
    case StoredType::f16:
      return make_short_float(5, 15);
    case StoredType::bf16:
      return make_short_float(8, 127);
    case StoredType::i64:
      return {H5Tcopy(H5T_STD_I64LE), H5Tclose};
    case StoredType::i32:
      return {H5Tcopy(H5T_STD_I32LE), H5Tclose};
    case StoredType::u64:
      return {H5Tcopy(H5T_STD_U64LE), H5Tclose};
    case StoredType::u32:
      return {H5Tcopy(H5T_STD_U32LE), H5Tclose};
    case StoredType::u16:
      return {H5Tcopy(H5T_STD_U16LE), H5Tclose};
    case StoredType::u8:
      return {H5Tcopy(H5T_STD_U8LE), H5Tclose};
    case StoredType::string: {
      Handle text(H5Tcopy(H5T_C_S1), H5Tclose);
      H5Tset_size(text.id(), H5T_VARIABLE);
      H5Tset_cset(text.id(), H5T_CSET_UTF8);
      return text;
    }
    case StoredType::other:
      break;
  }
  throw Error("this element type cannot be stored.", "framework/io/hdf5",
              "Use one of the numeric types or string.");
}

StoredType classify(hid_t type) {
  if (H5Tget_class(type) == H5T_STRING) return StoredType::string;
  for (int i = 0; i < static_cast<int>(StoredType::string); ++i) {
    const auto candidate = static_cast<StoredType>(i);
    if (H5Tequal(type, make_type(candidate).id()) > 0) return candidate;
  }
  return StoredType::other;
}

}  // namespace detail
}  // namespace tessera::io
