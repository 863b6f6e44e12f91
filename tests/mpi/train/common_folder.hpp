#pragma once
// Invariant: all ranks see one new folder, which vanishes when the last of them is done. It is in memory
// where the system allows: what these tests wait for is otherwise the disk's syncs.

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "comm/communicator.hpp"

namespace tessera::test {

class CommonFolder {
 public:
  explicit CommonFolder(const comm::Communicator& world) : world_(world) {
    if (world.rank() == 0) {
      std::string name = "/dev/shm/tessera-test-XXXXXX";
      if (::mkdtemp(name.data()) == nullptr) {
        name = (std::filesystem::temp_directory_path() / "tessera-test-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw Error("no place for a temporary folder");
      }
      path_ = name;
    }
    path_ = world.gather(path_).front();
  }
  ~CommonFolder() {
    world_.barrier();
    if (world_.rank() == 0) std::filesystem::remove_all(path_);
  }
  CommonFolder(const CommonFolder&) = delete;
  CommonFolder& operator=(const CommonFolder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  comm::Communicator world_;
  std::string path_;
};

}  // namespace tessera::test
