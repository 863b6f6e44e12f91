#pragma once
// Invariant: an HDF5 identifier is closed exactly once, by its Handle; a negative status from HDF5 never goes
// unnoticed (require) and its reason is taken from HDF5's error stack before another call clears it.
// Internal to framework/io/hdf5*.cpp: no other file includes HDF5's header.

#include <hdf5.h>

#include <cstdint>
#include <string>
#include <utility>

#include "io/hdf5.hpp"

namespace tessera::io::detail {

static_assert(sizeof(hid_t) == sizeof(std::int64_t), "Hdf5File stores identifiers as 64-bit integers");

class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&&) = delete;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  [[nodiscard]] hid_t id() const { return id_; }
  [[nodiscard]] hid_t release() { return std::exchange(id_, -1); }

 private:
  hid_t id_;
  Close close_;
};

/// Silences HDF5's own printing. @throws Error when called outside the main thread.
void prepare_hdf5();

/// Which object of which file a call concerns, for messages.
struct Place {
  const std::string& file;
  const std::string& object;
  [[nodiscard]] std::string text() const;
};

/// The Error for a failed call, with the reason HDF5 gives. `action` completes "cannot ...".
[[nodiscard]] Error hdf5_error(const Place& place, const std::string& action);

/// Passes on a status or identifier that is not negative. @throws Error otherwise.
template <class Status>
Status require(Status status, const Place& place, const char* action) {
  if (status < 0) throw hdf5_error(place, action);
  return status;
}

/// The type of a StoredType in a file and in memory alike. `string` gives variable-length UTF-8.
[[nodiscard]] Handle make_type(StoredType type);
[[nodiscard]] StoredType classify(hid_t type);

}  // namespace tessera::io::detail
