#include "data/shard_reader.hpp"

#include <algorithm>

#include "base/hash.hpp"
#include "data/half.hpp"
#include "io/file_seal.hpp"

namespace tessera::data {

using io::Extent;
using io::StoredType;

namespace {

template <class T>
std::uint32_t load(const io::File& file, Extent extent, std::vector<T>& table, std::uint32_t crc) {
  table.resize(extent.bytes / sizeof(T));  // the extent lies in the file, so this cannot exceed its size
  if (table.empty()) return crc;
  file.read_at(table.data(), extent.bytes, extent.offset);
  return crc32c(table.data(), extent.bytes, crc);
}

// True when `first` ascends from 0 to `last`.
bool spans(const std::vector<std::int64_t>& first, std::uint64_t last) {
  return first.front() == 0 && first.back() >= 0 && static_cast<std::uint64_t>(first.back()) == last &&
         std::is_sorted(first.begin(), first.end());
}

std::string_view text_of(const std::vector<std::uint8_t>& text, const std::vector<std::int64_t>& first,
                         std::uint64_t index) {
  const auto begin = static_cast<std::size_t>(first[index]);
  return {reinterpret_cast<const char*>(text.data()) + begin,
          static_cast<std::size_t>(first[index + 1]) - begin};
}

}  // namespace

ShardReader::ShardReader(std::shared_ptr<const ShardHeader> header, ShardLayout layout)
    : header_(std::move(header)), layout_(std::move(layout)), file_(io::File::open_read(layout_.path)) {
  if (file_.size() != layout_.file_bytes) {
    throw Error("this shard had " + std::to_string(layout_.file_bytes) +
                    " bytes when the data set was opened, and now " + std::to_string(file_.size()) + ".",
                layout_.path, "Leave shards alone while they are in use; start again.");
  }
  if (layout_.seal_crc != 0 && io::seal_checksum(file_, "shard") != layout_.seal_crc) {
    throw Error("this shard is not the one that was there when the data set was opened.", layout_.path,
                "Leave shards alone while they are in use; start again.");
  }
  bucket_first_.push_back(0);
  for (const ShardBucket& bucket : layout_.buckets)
    bucket_first_.push_back(bucket_first_.back() + bucket.records);
  load_tables();
  check_tables();
}

std::shared_ptr<const ShardReader> ShardReader::open(const std::string& path) {
  ShardInfo info = inspect_shard(path);
  return std::make_shared<const ShardReader>(std::make_shared<const ShardHeader>(std::move(info.header)),
                                             std::move(info.layout));
}

void ShardReader::load_tables() {
  const auto extent = [&](ShardTable table) { return layout_.tables[static_cast<std::size_t>(table)]; };
  std::uint32_t sum = 0;
  sum = load(file_, extent(ShardTable::crc), crc_, sum);
  sum = load(file_, extent(ShardTable::size), size_, sum);
  sum = load(file_, extent(ShardTable::label), label_, sum);
  sum = load(file_, extent(ShardTable::caption_first), caption_first_, sum);
  sum = load(file_, extent(ShardTable::id_first), id_first_, sum);
  sum = load(file_, extent(ShardTable::id), id_, sum);
  sum = load(file_, extent(ShardTable::caption_crc), caption_crc_, sum);
  sum = load(file_, extent(ShardTable::len_real), len_real_, sum);
  sum = load(file_, extent(ShardTable::text_first), text_first_, sum);
  sum = load(file_, extent(ShardTable::text), text_, sum);
  sum = load(file_, extent(ShardTable::control_crc), control_crc_, sum);
  if (sum != layout_.tables_crc) {
    throw Error("this shard is damaged: the checksum of its tables does not match.", layout_.path,
                "Copy the shard from where it was made, or make it again with `tessera data build`.");
  }
  feature_first_.reserve(len_real_.size() + 1);
  feature_first_.push_back(0);
  const bool all = header_->caption_store == CaptionStore::all;
  for (const std::int32_t len : len_real_) {
    const auto kept = all ? header_->caption_length : static_cast<std::uint32_t>(std::max(len, 0));
    feature_first_.push_back(feature_first_.back() + kept);
  }
}

void ShardReader::check_tables() const {
  // The checksum catches accidents; these checks also keep a forged file from reaching outside the tables.
  const auto length = static_cast<std::int64_t>(header_->caption_length);
  const auto in_range = [&](std::int32_t len) { return len >= 0 && len <= length; };
  const auto label_known = [&](std::size_t i, const std::vector<std::string>& names) {
    return label_[i] >= -1 && label_[i] < static_cast<std::int64_t>(names.size());
  };
  bool right = spans(caption_first_, layout_.captions) && spans(id_first_, id_.size()) &&
               spans(text_first_, text_.size()) && std::all_of(len_real_.begin(), len_real_.end(), in_range);
  for (std::size_t i = 0; i < label_.size(); i += 2) {
    right = right && label_known(i, header_->groups) && label_known(i + 1, header_->subgroups);
  }
  const std::uint64_t row_bytes = std::uint64_t{header_->caption_width} * sizeof(std::uint16_t);
  if (row_bytes > 0) {
    right = right && layout_.features.bytes % row_bytes == 0 &&
            layout_.features.bytes / row_bytes == feature_first_.back();
  }
  if (right && header_->caption_length > 0 && header_->caption_width > 0) {
    right = std::adjacent_find(caption_first_.begin(), caption_first_.end()) == caption_first_.end();
  }
  if (!right) {
    throw Error("this shard is damaged: its tables contradict each other.", layout_.path,
                "Make it again with `tessera data build`.");
  }
}

RecordInfo ShardReader::info(std::uint64_t record) const {
  if (record >= layout_.records) {
    throw Error("record " + std::to_string(record) + " was asked for, but there are only " +
                    std::to_string(layout_.records) + ".",
                layout_.path, "Ask for a record below that number.");
  }
  const auto bucket =
      std::upper_bound(bucket_first_.begin(), bucket_first_.end(), record) - bucket_first_.begin() - 1;
  return {text_of(id_, id_first_, record),
          size_[2 * record],
          size_[2 * record + 1],
          label_[2 * record],
          label_[2 * record + 1],
          static_cast<std::uint32_t>(caption_first_[record + 1] - caption_first_[record]),
          static_cast<std::uint32_t>(bucket)};
}

void ShardReader::judge(bool finite, bool sum_right, std::uint64_t record, const std::string& what) const {
  if (finite && sum_right) return;
  const std::string subject =
      what + " of record " + std::to_string(record) + " ('" + std::string(info(record).id) + "')";
  if (sum_right) {
    throw Error(subject + " holds NaN or infinity.", layout_.path,
                "Make the shard again without this picture, or with a corrected encoder.");
  }
  throw Error(
      subject + " does not match its checksum" + (finite ? "" : " and holds NaN or infinity") +
          ": the file was damaged or altered after it was written.",
      layout_.path,
      "Copy the shard from where it was made, or make it again with `tessera data build`; [data] damaged = "
      "\"skip\" trains without such records.");
}

void ShardReader::read_bytes(void* to, std::size_t bytes, std::uint64_t offset, std::uint64_t record,
                             const std::string& what) const {
  try {
    file_.read_at(to, bytes, offset);
  } catch (const Error& error) {
    throw Error(what + " of record " + std::to_string(record) + " ('" + std::string(info(record).id) +
                    "') cannot be read: " + error.summary(),
                error.where(), error.remedy());
  }
}

void ShardReader::read_latent(std::uint64_t record, std::size_t resolution, float* to, bool verify) const {
  const ShardBucket& bucket = layout_.buckets[info(record).bucket];
  read_values(record, resolution, bucket.latents.at(resolution),
              crc_[record * header_->resolutions.size() + resolution], "the latent", to, verify);
}

void ShardReader::read_control(std::uint64_t record, std::size_t resolution, float* to, bool verify) const {
  if (header_->control.empty()) {
    throw Error("the records of this shard have no control maps.", layout_.path,
                "Build it with `tessera data build ... --control NAME`.");
  }
  const ShardBucket& bucket = layout_.buckets[info(record).bucket];
  read_values(record, resolution, bucket.controls.at(resolution),
              control_crc_[record * header_->resolutions.size() + resolution], "the control map", to, verify);
}

void ShardReader::read_values(std::uint64_t record, std::size_t resolution, Extent bucket,
                              std::uint32_t expected_crc, const std::string& what, float* to,
                              bool verify) const {
  const std::uint32_t number = info(record).bucket;
  const std::uint64_t values = header_->latent_values(layout_.buckets[number].grids.at(resolution));
  const std::uint64_t bytes = values * io::size_of(header_->latent_type);
  const std::uint64_t offset = bucket.offset + (record - bucket_first_[number]) * bytes;
  const std::string subject = what + " at resolution " + std::to_string(header_->resolutions[resolution]);
  bool finite, right;
  if (header_->latent_type == StoredType::f32) {
    read_bytes(to, bytes, offset, record, subject);
    right = !verify || crc32c(to, bytes) == expected_crc;
    finite = all_finite(to, values);
  } else {
    thread_local std::vector<std::uint16_t> halves;
    halves.resize(values);
    read_bytes(halves.data(), bytes, offset, record, subject);
    right = !verify || crc32c(halves.data(), bytes) == expected_crc;
    finite = all_finite(halves.data(), values);
    float_from_half(halves.data(), to, values);
  }
  judge(finite, right, record, subject);
}

std::uint64_t ShardReader::caption_row(std::uint64_t record, std::uint32_t caption) const {
  if (caption >= info(record).captions) {
    throw Error("caption " + std::to_string(caption) + " of record " + std::to_string(record) +
                    " was asked for, but it has only " + std::to_string(info(record).captions) + ".",
                layout_.path, "Ask for a caption below that number.");
  }
  return static_cast<std::uint64_t>(caption_first_[record]) + caption;
}

std::uint32_t ShardReader::read_caption(std::uint64_t record, std::uint32_t caption, std::uint16_t* to,
                                        bool verify) const {
  const std::uint64_t row = caption_row(record, caption);
  const std::uint64_t width = header_->caption_width;
  const std::uint64_t values = (feature_first_[row + 1] - feature_first_[row]) * width;
  const std::string subject = "caption " + std::to_string(caption);
  read_bytes(to, values * sizeof(*to), layout_.features.offset + feature_first_[row] * width * sizeof(*to),
             record, subject);
  const bool right = !verify || crc32c(to, values * sizeof(*to)) == caption_crc_[row];
  judge(all_finite(to, values), right, record, subject);
  std::fill(to + values, to + header_->caption_length * width, std::uint16_t{0});
  return static_cast<std::uint32_t>(len_real_[row]);
}

std::uint32_t ShardReader::caption_len_real(std::uint64_t record, std::uint32_t caption) const {
  return static_cast<std::uint32_t>(len_real_[caption_row(record, caption)]);
}

std::string_view ShardReader::caption_text(std::uint64_t record, std::uint32_t caption) const {
  return text_of(text_, text_first_, caption_row(record, caption));
}

}  // namespace tessera::data
