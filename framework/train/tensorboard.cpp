#include "train/tensorboard.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/hash.hpp"
#include "io/file.hpp"
#include "io/png.hpp"

namespace tessera::train {
namespace {

// Field numbers of the messages Event, Summary, Summary.Value, Summary.Image and SessionLog.
enum EventField : std::uint32_t {
  wall_time = 1,
  step_number = 2,
  file_version = 3,
  summary = 5,
  session_log = 7
};
enum SummaryField : std::uint32_t { value = 1 };
enum ValueField : std::uint32_t { tag_text = 1, simple_value = 2, image_value = 4 };
enum ImageField : std::uint32_t { height = 1, width = 2, colorspace = 3, encoded = 4 };
enum SessionField : std::uint32_t { status = 1 };
constexpr std::uint64_t session_start = 1;
constexpr std::uint64_t rgb = 3;

enum Wire : std::uint32_t { varint_type = 0, fixed64 = 1, bytes_type = 2, fixed32 = 5 };

void put_varint(std::string& out, std::uint64_t number) {
  for (; number >= 0x80; number >>= 7) out.push_back(static_cast<char>(number | 0x80));
  out.push_back(static_cast<char>(number));
}

void put_key(std::string& out, std::uint32_t field, Wire type) { put_varint(out, (field << 3) | type); }

template <class T>
void put_raw(std::string& out, T number) {
  std::array<char, sizeof(T)> bytes{};
  std::memcpy(bytes.data(), &number, sizeof(T));
  out.append(bytes.data(), bytes.size());
}

void put_integer(std::string& out, std::uint32_t field, std::uint64_t number) {
  put_key(out, field, varint_type);
  put_varint(out, number);
}

void put_bytes(std::string& out, std::uint32_t field, std::string_view bytes) {
  put_key(out, field, bytes_type);
  put_varint(out, bytes.size());
  out.append(bytes);
}

std::string event_at(std::int64_t step) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::string event;
  put_key(event, wall_time, fixed64);
  put_raw(event, std::chrono::duration<double>(now).count());
  put_integer(event, step_number, static_cast<std::uint64_t>(step));
  return event;
}

}  // namespace

std::uint32_t masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes.data(), bytes.size());
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
}

EventFile::EventFile(const std::filesystem::path& folder, std::int64_t last_step) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host = {'h', 'o', 's', 't'};
  path_ = folder / ("events.out.tfevents." + std::to_string(seconds) + "." + host.data() + "." +
                    std::to_string(::getpid()));
  file_.open(path_, std::ios::binary | std::ios::app);
  if (!file_) throw io::system_error(path_.string(), "open it for appending", errno);
  std::string first = event_at(0);
  put_bytes(first, file_version, "brain.Event:2");
  write(first);
  if (last_step < 0) return;
  std::string session;
  put_integer(session, status, session_start);
  std::string start = event_at(last_step + 1);
  put_bytes(start, session_log, session);
  write(start);
}

void EventFile::scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  std::string all;
  for (const auto& [tag, number] : values) {
    std::string one;
    put_bytes(one, tag_text, tag);
    put_key(one, simple_value, fixed32);
    put_raw(one, static_cast<float>(number));
    put_bytes(all, value, one);
  }
  std::string event = event_at(step);
  put_bytes(event, summary, all);
  write(event);
}

void EventFile::image(std::int64_t step, const std::string& tag, const io::Image& picture) {
  const std::vector<std::uint8_t> png = io::encode_png(picture);
  std::string content;
  put_integer(content, height, static_cast<std::uint64_t>(picture.height));
  put_integer(content, width, static_cast<std::uint64_t>(picture.width));
  put_integer(content, colorspace, rgb);
  put_bytes(content, encoded, {reinterpret_cast<const char*>(png.data()), png.size()});
  std::string one;
  put_bytes(one, tag_text, tag);
  put_bytes(one, image_value, content);
  std::string all;
  put_bytes(all, value, one);
  std::string event = event_at(step);
  put_bytes(event, summary, all);
  write(event);
}

void EventFile::write(const std::string& event) {
  std::string record;
  put_raw(record, static_cast<std::uint64_t>(event.size()));
  put_raw(record, masked_crc(record));
  record += event;
  put_raw(record, masked_crc(event));
  file_ << record << std::flush;
  if (!file_) throw io::system_error(path_.string(), "write to it", errno);
}

}  // namespace tessera::train
