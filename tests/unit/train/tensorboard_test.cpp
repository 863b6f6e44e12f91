// Event files are read back by a parser written from the formats' descriptions, sharing no code with the
// writer but CRC32C (checked against published vectors elsewhere).
#include "train/tensorboard.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "base/hash.hpp"
#include "io/file.hpp"
#include "io/png.hpp"
#include "unit/io/temporary_folder.hpp"

namespace tessera::train {
namespace {

/// A protobuf message: field number -> values in order; numbers as 8 bytes, texts as they are.
using Message = std::multimap<unsigned, std::string>;

std::uint64_t take_varint(const std::string& bytes, std::size_t& at) {
  std::uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.at(at++));
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
}

Message parse(const std::string& bytes) {
  Message message;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::uint64_t key = take_varint(bytes, at);
    std::string value;
    switch (key & 7) {
      case 0: {
        const std::uint64_t number = take_varint(bytes, at);
        value.assign(reinterpret_cast<const char*>(&number), 8);
        break;
      }
      case 1:
      case 5:
        value = bytes.substr(at, (key & 7) == 1 ? 8 : 4);
        at += value.size();
        break;
      case 2: {
        const std::uint64_t size = take_varint(bytes, at);
        value = bytes.substr(at, size);
        EXPECT_EQ(value.size(), size);
        at += size;
        break;
      }
      default:
        ADD_FAILURE() << "wire type " << (key & 7);
        return message;
    }
    message.emplace(static_cast<unsigned>(key >> 3), value);
  }
  return message;
}

template <class T>
T number(const std::string& bytes) {
  T value;
  EXPECT_GE(bytes.size(), sizeof(T));
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

std::uint32_t mask(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8U; }

std::vector<Message> read_events(const std::filesystem::path& path) {
  const std::string file = io::read_file(path.string());
  std::vector<Message> events;
  for (std::size_t at = 0; at < file.size();) {
    const auto size = number<std::uint64_t>(file.substr(at, 8));
    EXPECT_EQ(number<std::uint32_t>(file.substr(at + 8, 4)), mask(crc32c(file.data() + at, 8)));
    const std::string content = file.substr(at + 12, size);
    EXPECT_EQ(number<std::uint32_t>(file.substr(at + 12 + size, 4)), mask(crc32c(content.data(), size)));
    events.push_back(parse(content));
    at += 16 + size;
  }
  return events;
}

const std::string& only(const Message& message, unsigned field) {
  EXPECT_EQ(message.count(field), 1U) << "field " << field;
  return message.find(field)->second;
}

TEST(EventFile, HoldsVersionScalarsAndPictures) {
  const test::TemporaryFolder folder;
  EventFile file(folder.path(), -1);
  file.scalars(300, {{"loss", 0.25}, {"norm", -1.5}});
  io::Image picture(3, 2, {1, 2, 3});
  picture.at(2, 1)[0] = 200;
  file.image(1'000'000, "samples", picture);

  EXPECT_NE(file.path().filename().string().find("tfevents"), std::string::npos);
  const std::vector<Message> events = read_events(file.path());
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(only(events[0], 3), "brain.Event:2");
  EXPECT_GT(number<double>(only(events[0], 1)), 1.6e9);  // seconds since 1970

  EXPECT_EQ(number<std::uint64_t>(only(events[1], 2)), 300U);
  const Message summary = parse(only(events[1], 5));
  ASSERT_EQ(summary.count(1), 2U);
  const Message loss = parse(summary.find(1)->second);
  EXPECT_EQ(only(loss, 1), "loss");
  EXPECT_EQ(number<float>(only(loss, 2)), 0.25F);
  const Message norm = parse(std::next(summary.find(1))->second);
  EXPECT_EQ(only(norm, 1), "norm");
  EXPECT_EQ(number<float>(only(norm, 2)), -1.5F);

  EXPECT_EQ(number<std::uint64_t>(only(events[2], 2)), 1'000'000U);
  const Message value = parse(only(parse(only(events[2], 5)), 1));
  EXPECT_EQ(only(value, 1), "samples");
  const Message image = parse(only(value, 4));
  EXPECT_EQ(number<std::uint64_t>(only(image, 1)), 2U);
  EXPECT_EQ(number<std::uint64_t>(only(image, 2)), 3U);
  EXPECT_EQ(number<std::uint64_t>(only(image, 3)), 3U);
  const std::string& png = only(image, 4);
  EXPECT_EQ(io::decode_png({reinterpret_cast<const std::uint8_t*>(png.data()), png.size()}, "event"),
            picture);
}

TEST(EventFile, AResumedRunVoidsLaterSteps) {
  const test::TemporaryFolder folder;
  const EventFile file(folder.path(), 41);
  const std::vector<Message> events = read_events(file.path());
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(number<std::uint64_t>(only(events[1], 2)), 42U);
  EXPECT_EQ(number<std::uint64_t>(only(parse(only(events[1], 7)), 1)), 1U);
}

TEST(EventFile, SaysWhenItCannotBeMade) { EXPECT_THROW(EventFile("/proc/no-such-folder", -1), Error); }

}  // namespace
}  // namespace tessera::train
