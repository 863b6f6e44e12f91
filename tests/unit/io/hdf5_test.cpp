// HDF5 files: what is written is read back, extents are where HDF5 says, failures name file and object.
#include "io/hdf5.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <thread>

#include "unit/io/temporary_folder.hpp"

namespace tessera::io {
namespace {

using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

template <class Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error was thrown";
}

template <class T>
void round_trip(Hdf5File& file, const std::string& name, const std::vector<T>& values) {
  const std::uint64_t shape[] = {values.size()};
  const Extent extent = file.create_dataset(name, stored_type_of<T>, shape);
  EXPECT_EQ(extent.bytes, values.size() * sizeof(T));
  file.write(name, stored_type_of<T>, values.data());
  EXPECT_EQ(file.dataset(name).type, stored_type_of<T>);
  EXPECT_EQ(file.read<T>(name), values);
}

TEST(Hdf5File, RoundTripsEveryNativeType) {
  const TemporaryFolder folder;
  Hdf5File file = Hdf5File::create(folder / "a.h5");
  round_trip<float>(file, "/numbers/f32", {1.5F, -0.0F, 3e38F});
  round_trip<double>(file, "/numbers/f64", {1.5, -2.25});
  round_trip<std::int64_t>(file, "/numbers/i64", {-(std::int64_t{1} << 60), 7});
  round_trip<std::int32_t>(file, "/numbers/i32", {-5, 6});
  round_trip<std::uint64_t>(file, "/numbers/u64", {~std::uint64_t{0}});
  round_trip<std::uint32_t>(file, "/numbers/u32", {0xffffffffU});
  round_trip<std::uint16_t>(file, "/numbers/u16", {65535});
  round_trip<std::uint8_t>(file, "/numbers/u8", {0, 255});
  EXPECT_THAT(file.members("/numbers"), ElementsAre("f32", "f64", "i32", "i64", "u16", "u32", "u64", "u8"));
}

TEST(Hdf5File, ShortFloatsAreRealHdf5Types) {
  const TemporaryFolder folder;
  Hdf5File file = Hdf5File::create(folder / "a.h5");
  const std::uint64_t shape[] = {3};
  file.create_dataset("/half", StoredType::f16, shape);
  file.create_dataset("/brain", StoredType::bf16, shape);
  // bit patterns from the IEEE 754 tables: 1.5, -65504, smallest subnormal
  const std::uint16_t half[] = {0x3E00, 0xFBFF, 0x0001};
  const std::uint16_t brain[] = {0x3FC0, 0xC2F7, 0x0080};
  file.write("/half", StoredType::f16, half);
  file.write("/brain", StoredType::bf16, brain);
  EXPECT_EQ(file.dataset("/half").type, StoredType::f16);
  EXPECT_EQ(file.dataset("/brain").type, StoredType::bf16);
  EXPECT_THAT(file.read<float>("/half"), ElementsAre(1.5F, -65504.0F, std::ldexp(1.0F, -24)));
  EXPECT_THAT(file.read<float>("/brain"), ElementsAre(1.5F, -123.5F, std::ldexp(1.0F, -126)));
}

TEST(Hdf5File, ExtentsAreWhereTheBytesAre) {
  const TemporaryFolder folder;
  Extent first, second;
  std::vector<float> values(5000);
  std::iota(values.begin(), values.end(), 0.0F);
  {
    Hdf5File file = Hdf5File::create(folder / "a.h5", {.user_block = 8192, .alignment = 4096});
    const std::uint64_t shape[] = {50, 100};
    first = file.create_dataset("/x/one", StoredType::f32, shape);
    second = file.create_dataset("/x/two", StoredType::f32, shape);
    file.close();
  }
  EXPECT_EQ(second.offset % 4096, 0U);
  const File raw = File::open_update(folder / "a.h5");
  EXPECT_GE(raw.size(), second.offset + second.bytes);  // allocated, though never written
  raw.write_at(values.data(), second.bytes, second.offset);
  const Hdf5File file = Hdf5File::open(folder / "a.h5");
  EXPECT_EQ(file.read<float>("/x/two"), values);
  const Hdf5Dataset found = file.dataset("/x/one");
  EXPECT_THAT(found.shape, ElementsAre(50, 100));
  ASSERT_TRUE(found.extent.has_value());
  EXPECT_EQ(*found.extent, first);
}

TEST(Hdf5File, EmptyDatasetsHaveNoExtent) {
  const TemporaryFolder folder;
  Hdf5File file = Hdf5File::create(folder / "a.h5");
  const std::uint64_t shape[] = {0, 4};
  EXPECT_EQ(file.create_dataset("/none", StoredType::f32, shape), Extent{});
  EXPECT_EQ(file.dataset("/none").elements, 0U);
  EXPECT_EQ(file.dataset("/none").extent, Extent{});
  EXPECT_TRUE(file.read<float>("/none").empty());
}

TEST(Hdf5File, AttributesRoundTripAndReplace) {
  const TemporaryFolder folder;
  Hdf5File file = Hdf5File::create(folder / "a.h5");
  file.create_group("/g/h");
  const std::string text = "größe, 猫, \"quoted\"";
  file.set_attribute("/", "text", text);
  file.set_attribute("/", "long", std::string(200'000, 'x'));  // more than an object header can hold
  file.set_attribute("/g/h", "count", std::int64_t{-7});
  file.set_attribute("/g/h", "count", std::int64_t{8});
  file.set_attribute("/g/h", "scale", 0.25);
  const std::vector<std::int64_t> sizes{32, 64};
  file.set_attribute("/g", "sizes", std::span<const std::int64_t>(sizes));
  file.set_attribute("/g", "none", std::span<const std::int64_t>());
  file.close();
  const Hdf5File read = Hdf5File::open(folder / "a.h5");
  EXPECT_EQ(read.string_attribute("/", "text"), text);
  EXPECT_EQ(read.string_attribute("/", "long").size(), 200'000U);
  EXPECT_EQ(read.integer_attribute("/g/h", "count"), 8);
  EXPECT_EQ(read.number_attribute("/g/h", "scale"), 0.25);
  EXPECT_EQ(read.number_attribute("/g/h", "count"), 8.0);
  EXPECT_EQ(read.integers_attribute("/g", "sizes"), sizes);
  EXPECT_TRUE(read.integers_attribute("/g", "none").empty());
  EXPECT_TRUE(read.has_attribute("/", "text"));
  EXPECT_FALSE(read.has_attribute("/", "texts"));
  EXPECT_THAT(read.attribute_names("/g/h"), ElementsAre("count", "scale"));
  EXPECT_THAT(message_of([&] { (void)read.string_attribute("/g/h", "count"); }),
              testing::AllOf(HasSubstr(folder / "a.h5"), HasSubstr("/g/h@count"), HasSubstr("not a string")));
  EXPECT_THAT(message_of([&] { (void)read.integer_attribute("/g", "sizes"); }), HasSubstr("single value"));
  EXPECT_THAT(message_of([&] { (void)read.integer_attribute("/g", "nothing"); }), HasSubstr("missing"));
}

TEST(Hdf5File, StringsRoundTrip) {
  const TemporaryFolder folder;
  Hdf5File file = Hdf5File::create(folder / "a.h5");
  const std::vector<std::string> names{"smileys", "", "ünïcode"};
  file.write_strings("/names", names);
  file.write_strings("/empty", {});
  EXPECT_EQ(file.read_strings("/names"), names);
  EXPECT_TRUE(file.read_strings("/empty").empty());
  EXPECT_EQ(file.dataset("/names").type, StoredType::string);
  EXPECT_FALSE(file.dataset("/names").extent.has_value());
}

TEST(Hdf5File, ListsRecursivelyAndKnowsWhatExists) {
  const TemporaryFolder folder;
  Hdf5File file = Hdf5File::create(folder / "a.h5");
  const std::uint64_t shape[] = {1};
  file.create_dataset("/b/deep/x", StoredType::u8, shape);
  file.create_dataset("/a.weight", StoredType::u8, shape);
  file.create_group("/c");
  EXPECT_THAT(file.datasets(), ElementsAre("/a.weight", "/b/deep/x"));
  EXPECT_THAT(file.datasets("/b"), ElementsAre("/b/deep/x"));
  EXPECT_TRUE(file.exists("/"));
  EXPECT_TRUE(file.exists("/b/deep"));
  EXPECT_FALSE(file.exists("/b/shallow/x"));
  EXPECT_TRUE(file.is_dataset("/b/deep/x"));
  EXPECT_FALSE(file.is_dataset("/c"));
}

TEST(Hdf5File, ErrorsNameFileObjectAndReason) {
  const TemporaryFolder folder;
  Hdf5File file = Hdf5File::create(folder / "a.h5");
  const std::string missing = message_of([&] { (void)file.dataset("/nothing/here"); });
  EXPECT_THAT(missing,
              testing::AllOf(HasSubstr(folder / "a.h5"), HasSubstr("'/nothing/here'"), HasSubstr("HDF5:")));
  file.close();
  EXPECT_THAT(message_of([&] { (void)Hdf5File::open(folder / "none.h5"); }), HasSubstr("No such file"));
  replace_file(folder / "text", "this is no HDF5 file");
  EXPECT_THAT(message_of([&] { (void)Hdf5File::open(folder / "text"); }),
              testing::AllOf(HasSubstr(folder / "text"), HasSubstr("HDF5:"), HasSubstr("signature")));
}

TEST(Hdf5File, TruncatedFileIsRefused) {
  const TemporaryFolder folder;
  {
    Hdf5File file = Hdf5File::create(folder / "a.h5");
    const std::uint64_t shape[] = {10'000};
    file.create_dataset("/x", StoredType::f32, shape);
  }
  std::filesystem::resize_file(folder / "a.h5", 20'000);
  EXPECT_THAT(message_of([&] { (void)Hdf5File::open(folder / "a.h5").dataset("/x"); }),
              HasSubstr("truncated"));
}

TEST(Hdf5File, OtherThreadsAreRefused) {
  std::string message;
  std::thread([&] { message = message_of([] { (void)Hdf5File::open("/dev/null"); }); }).join();
  EXPECT_THAT(message, HasSubstr("main thread"));
}

}  // namespace
}  // namespace tessera::io
