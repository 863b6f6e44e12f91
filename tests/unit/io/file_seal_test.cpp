// The seal: any change outside the extents is found, any inside is not its business.
#include "io/file_seal.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "unit/io/temporary_folder.hpp"

namespace tessera::io {
namespace {

using test::TemporaryFolder;

constexpr std::uint64_t kFileBytes = 3000;
const std::vector<Extent> kExtents{{2000, 500}, {700, 100}, {800, 50}, {900, 0}};

std::string sealed_file(const TemporaryFolder& folder) {
  std::string content(kFileBytes, '\0');
  std::iota(content.begin(), content.end(), '\1');
  replace_file(folder / "sealed", content);
  seal_file(folder / "sealed", 512, kExtents);
  return folder / "sealed";
}

TEST(FileSeal, GivesTheExtentsBackSorted) {
  const TemporaryFolder folder;
  const std::vector<Extent> expected{{700, 100}, {800, 50}, {2000, 500}};
  EXPECT_EQ(check_seal(sealed_file(folder), "shard"), expected);
}

TEST(FileSeal, EveryByteOutsideTheExtentsCounts) {
  const TemporaryFolder folder;
  const std::string path = sealed_file(folder);
  const std::string content = read_file(path);
  const File file = File::open_update(path);
  for (std::uint64_t i = 0; i < kFileBytes; ++i) {
    const char changed = static_cast<char>(content[i] ^ 0x10);
    file.write_at(&changed, 1, i);
    const bool in_extent = (i >= 700 && i < 850) || (i >= 2000 && i < 2500);
    const bool padding = i >= 40 + 3 * 16 + 4 && i < 512;  // unused tail of the user block
    if (in_extent || padding) {
      EXPECT_NO_THROW(check_seal(path, "shard")) << i;
    } else {
      EXPECT_THROW(check_seal(path, "shard"), Error) << i;
    }
    file.write_at(&content[i], 1, i);
  }
}

TEST(FileSeal, EveryTruncationIsFound) {
  const TemporaryFolder folder;
  const std::string path = sealed_file(folder);
  std::filesystem::resize_file(path, kFileBytes + 1);
  EXPECT_THROW(check_seal(path, "shard"), Error);
  for (std::uint64_t bytes = kFileBytes; bytes-- > 0;) {
    std::filesystem::resize_file(path, bytes);
    EXPECT_THROW(check_seal(path, "shard"), Error) << bytes;
  }
}

TEST(FileSeal, RefusesExtentsThatDoNotFit) {
  const TemporaryFolder folder;
  const std::string path = sealed_file(folder);
  const auto seal = [&](std::vector<Extent> extents) { seal_file(path, 512, extents); };
  EXPECT_THROW(seal({{2900, 101}}), Error);
  EXPECT_THROW(seal({{100, 10}}), Error);
  EXPECT_THROW(seal({{1000, 100}, {1099, 5}}), Error);
  EXPECT_THROW(seal({{~std::uint64_t{0}, 2}}), Error);
  EXPECT_THROW(seal(std::vector<Extent>(40, {1000, 1})), Error);
  EXPECT_NO_THROW(seal({{512, kFileBytes - 512}}));
}

TEST(FileSeal, UserBlockGrowsWithTheExtents) {
  EXPECT_EQ(seal_bytes(0), 4096U);
  EXPECT_EQ(seal_bytes(253), 4096U);  // 40 + 253 * 16 + 4 = 4092
  EXPECT_EQ(seal_bytes(254), 8192U);
  EXPECT_EQ(seal_bytes(2000), 32768U);
}

}  // namespace
}  // namespace tessera::io
