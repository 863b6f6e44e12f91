// Files: whole reads and writes, errors that say what and why, replacement as a whole or not at all.
#include "io/file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "unit/io/temporary_folder.hpp"

namespace tessera::io {
namespace {

using test::TemporaryFolder;

template <class Action>
Error error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return Error("no error was thrown");
}

TEST(File, WritesAndReadsAtOffsets) {
  const TemporaryFolder folder;
  const File file = File::create(folder / "a");
  file.write_at("world", 5, 6);
  file.write_at("hello ", 6, 0);
  std::string text(11, '\0');
  file.read_at(text.data(), text.size(), 0);
  EXPECT_EQ(text, "hello world");
  EXPECT_EQ(file.size(), 11U);
}

TEST(File, ReadBeyondTheEndIsTruncation) {
  const TemporaryFolder folder;
  replace_file(folder / "a", "1234567890");
  const File file = File::open_read(folder / "a");
  char buffer[8];
  const Error error = error_of([&] { file.read_at(buffer, 8, 6); });
  EXPECT_EQ(error.where(), folder / "a");
  EXPECT_NE(error.summary().find("ends at byte 10"), std::string::npos) << error.what();
  EXPECT_NE(error.summary().find("up to 14"), std::string::npos) << error.what();
}

TEST(File, ErrorsNamePathReasonAndRemedy) {
  const TemporaryFolder folder;
  const Error missing = error_of([&] { (void)File::open_read(folder / "none"); });
  EXPECT_EQ(missing.where(), folder / "none");
  EXPECT_NE(missing.summary().find("No such file"), std::string::npos);
  EXPECT_FALSE(missing.remedy().empty());
  EXPECT_NE(error_of([&] { (void)File::open_read(folder.path()); }).summary().find("not a regular file"),
            std::string::npos);
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_NE(error_of([&] { (void)File::open_read(folder / "pipe"); }).summary().find("not a regular file"),
            std::string::npos);
  EXPECT_THROW(replace_file(folder / "no/such/folder", "x"), Error);
}

TEST(File, NoRoomIsReportedWithTheRemedy) {
  // A limit on the size of files stands in for a full disk: the write fails in the same way.
  const TemporaryFolder folder;
  const File file = File::create(folder / "a");
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{100'000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const std::string content(150'000, 'x');
  const Error written = error_of([&] { file.write_at(content.data(), content.size(), 0); });
  const Error reserved = error_of([&] { file.reserve({0, 200'000}); });
  std::signal(SIGXFSZ, handler);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_NE(written.remedy().find("ulimit -f"), std::string::npos) << written.what();
  EXPECT_NE(reserved.remedy().find("ulimit -f"), std::string::npos) << reserved.what();

  const std::uint64_t too_much = std::uint64_t{1} << 60;
  const Error error = error_of([&] { require_free_space(folder.path(), too_much, "the checkpoint"); });
  EXPECT_NE(error.remedy().find("Free space"), std::string::npos);
  EXPECT_NE(error.summary().find("the checkpoint needs"), std::string::npos);
  EXPECT_NO_THROW(require_free_space(folder.path(), 1, "a byte"));
}

TEST(File, ReserveTakesBlocks) {
  const TemporaryFolder folder;
  const File file = File::create(folder / "a");
  file.reserve({1000, 1 << 20});
  struct stat status {};
  ASSERT_EQ(::stat((folder / "a").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, 1000 + (1 << 20));
  EXPECT_GE(status.st_blocks * 512, 1 << 20);
}

TEST(File, TruncateKeepsTheBeginning) {
  const TemporaryFolder folder;
  replace_file(folder / "a", "1234567890");
  File::open_update(folder / "a").truncate(4);
  EXPECT_EQ(read_file(folder / "a"), "1234");
  const File closed = File::open_read(folder / "a");
  EXPECT_THROW(closed.truncate(2), Error);  // not open for writing
}

TEST(File, ScratchLeavesNothingBehind) {
  const TemporaryFolder folder;
  const File file = File::scratch(folder.path());
  file.write_at("abc", 3, 0);
  EXPECT_EQ(file.size(), 3U);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(FileReplacement, OldFileStaysWithoutCommit) {
  const TemporaryFolder folder;
  replace_file(folder / "a", "old");
  {
    const FileReplacement replacement(folder / "a");
    File::open_update(replacement.temporary_path()).write_at("new", 3, 0);
    EXPECT_EQ(read_file(folder / "a"), "old");
  }
  EXPECT_EQ(read_file(folder / "a"), "old");
  FileReplacement replacement(folder / "a");
  File::open_update(replacement.temporary_path()).write_at("newer", 5, 0);
  replacement.commit();
  EXPECT_EQ(read_file(folder / "a"), "newer");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(MappedFile, ShowsTheBytes) {
  const TemporaryFolder folder;
  replace_file(folder / "a", "mapped bytes");
  replace_file(folder / "empty", "");
  MappedFile map(folder / "a");
  const MappedFile moved = std::move(map);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(moved.data()), moved.size()), "mapped bytes");
  EXPECT_EQ(MappedFile(folder / "empty").size(), 0U);
}

TEST(ReadFile, RefusesWhatIsTooLarge) {
  const TemporaryFolder folder;
  replace_file(folder / "a", std::string(101, 'x'));
  EXPECT_EQ(read_file(folder / "a", 101).size(), 101U);
  EXPECT_THROW((void)read_file(folder / "a", 100), Error);
}

TEST(ReadableBytes, PicksTheUnit) {
  EXPECT_EQ(readable_bytes(0), "0 bytes");
  EXPECT_EQ(readable_bytes(999), "999 bytes");
  EXPECT_EQ(readable_bytes(1000), "1.0 kB");
  EXPECT_EQ(readable_bytes(12'345'678), "12.3 MB");
  EXPECT_EQ(readable_bytes(999'999'999), "1.0 GB");
}

}  // namespace
}  // namespace tessera::io
