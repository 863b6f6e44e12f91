#include "data/layout_bytes.hpp"

#include <array>
#include <limits>
#include <optional>

namespace tessera::data {
namespace {

constexpr std::uint64_t kMany = std::uint64_t{1} << 48;  // records, captions: products stay below 2^63
constexpr std::uint64_t kWide = 1 << 24;                 // sizes of one dimension

void put(ByteWriter& out, const std::vector<std::string>& texts) {
  out.number(texts.size());
  for (const std::string& text : texts) out.text(text);
}

std::vector<std::string> take_texts(ByteReader& in) {
  std::vector<std::string> texts;
  for (std::size_t n = in.count(); n > 0; --n) texts.emplace_back(in.text());
  return texts;
}

void put(ByteWriter& out, const io::Extent& extent) {
  out.number(extent.offset);
  out.number(extent.bytes);
}

/// An extent inside the file; where `bytes` is given, of that length.
io::Extent take_extent(ByteReader& in, std::uint64_t file_bytes, std::optional<std::uint64_t> bytes = {}) {
  io::Extent extent;
  extent.offset = in.number_up_to(file_bytes);
  extent.bytes = in.number_up_to(file_bytes - extent.offset);
  if (bytes && extent.bytes != *bytes) in.refuse();
  return extent;
}

/// Latents or control maps of a bucket, one extent per resolution; their length follows from the header.
std::vector<io::Extent> take_latents(ByteReader& in, const ShardHeader& header, const ShardBucket& bucket,
                                     std::uint64_t file_bytes) {
  std::vector<io::Extent> extents;
  for (const Grid grid : bucket.grids) {
    const std::uint64_t of_one = header.latent_values(grid) * io::size_of(header.latent_type);
    if (of_one == 0 || bucket.records > file_bytes / of_one) in.refuse();
    const std::uint64_t bytes = bucket.records * of_one;
    extents.push_back({in.number_up_to(file_bytes - bytes), bytes});
  }
  return extents;
}

/// What each table must hold, where its length follows from the header.
std::array<std::optional<std::uint64_t>, kShardTables> table_bytes(const ShardHeader& header, std::uint64_t n,
                                                                   std::uint64_t m) {
  const std::uint64_t resolutions = header.resolutions.size();
  return {n * resolutions * 4,
          n * 8,
          n * 8,
          (n + 1) * 8,
          (n + 1) * 8,
          std::nullopt,
          m * 4,
          m * 4,
          (m + 1) * 8,
          std::nullopt,
          header.control.empty() ? 0 : n * resolutions * 4};
}

}  // namespace

std::string encoded_header(const ShardHeader& header) {
  ByteWriter out;
  for (const std::string* text : {&header.codec, &header.codec_config, &header.text_encoder,
                                  &header.text_encoder_config, &header.control}) {
    out.text(*text);
  }
  out.number(header.latent == LatentKind::posterior ? 1 : 0);
  out.number(header.latent_type == io::StoredType::f32 ? 1 : 0);
  out.number(header.channels);
  out.number(header.resolutions.size());
  for (const std::int64_t side : header.resolutions) out.number(static_cast<std::uint64_t>(side));
  out.number(header.caption_length);
  out.number(header.caption_width);
  out.number(header.caption_store == CaptionStore::real ? 1 : 0);
  put(out, header.groups);
  put(out, header.subgroups);
  return std::move(out.bytes());
}

ShardHeader decoded_header(std::string_view bytes, const std::string& where) {
  ByteReader in(bytes, where);
  ShardHeader header;
  for (std::string* text : {&header.codec, &header.codec_config, &header.text_encoder,
                            &header.text_encoder_config, &header.control}) {
    *text = in.text();
  }
  header.latent = in.number_up_to(1) == 1 ? LatentKind::posterior : LatentKind::sample;
  header.latent_type = in.number_up_to(1) == 1 ? io::StoredType::f32 : io::StoredType::f16;
  header.channels = static_cast<std::uint32_t>(in.number_up_to(kWide));
  for (std::size_t n = in.count(); n > 0; --n) {
    header.resolutions.push_back(static_cast<std::int64_t>(in.number_up_to(kWide)));
  }
  header.caption_length = static_cast<std::uint32_t>(in.number_up_to(kWide));
  header.caption_width = static_cast<std::uint32_t>(in.number_up_to(kWide));
  header.caption_store = in.number_up_to(1) == 1 ? CaptionStore::real : CaptionStore::all;
  header.groups = take_texts(in);
  header.subgroups = take_texts(in);
  if (!in.at_end() || header.resolutions.empty() || header.channels == 0) in.refuse();
  return header;
}

std::string encoded_layout(const ShardLayout& layout) {
  ByteWriter out;
  out.number(layout.records);
  out.number(layout.captions);
  out.number(layout.tables_crc);
  out.number(layout.buckets.size());
  for (const ShardBucket& bucket : layout.buckets) {
    out.number(bucket.records);
    for (const Grid grid : bucket.grids) {
      out.number(grid.height);
      out.number(grid.width);
    }
    for (const io::Extent& extent : bucket.latents) out.number(extent.offset);
    for (const io::Extent& extent : bucket.controls) out.number(extent.offset);
  }
  put(out, layout.features);
  for (const io::Extent& table : layout.tables) put(out, table);
  return std::move(out.bytes());
}

ShardLayout decoded_layout(std::string_view bytes, const ShardHeader& header, std::uint64_t file_bytes,
                           const std::string& path) {
  ByteReader in(bytes, path);
  ShardLayout layout;
  layout.path = path;
  layout.file_bytes = file_bytes;
  layout.records = in.number_up_to(kMany);
  layout.captions = in.number_up_to(kMany);
  layout.tables_crc = static_cast<std::uint32_t>(in.number_up_to(std::numeric_limits<std::uint32_t>::max()));
  layout.buckets.resize(in.count());
  std::uint64_t total = 0;
  for (ShardBucket& bucket : layout.buckets) {
    bucket.records = in.number_up_to(layout.records);
    total += bucket.records;
    for (std::size_t r = 0; r < header.resolutions.size(); ++r) {
      const auto height = static_cast<std::uint32_t>(in.number_up_to(kWide));
      bucket.grids.push_back({height, static_cast<std::uint32_t>(in.number_up_to(kWide))});
    }
    bucket.latents = take_latents(in, header, bucket, file_bytes);
    if (!header.control.empty()) bucket.controls = take_latents(in, header, bucket, file_bytes);
  }
  if (layout.records == 0 || total != layout.records) in.refuse();
  layout.features = take_extent(in, file_bytes);
  for (const auto& expected : table_bytes(header, layout.records, layout.captions)) {
    layout.tables.push_back(take_extent(in, file_bytes, expected));
  }
  if (!in.at_end()) in.refuse();
  return layout;
}

}  // namespace tessera::data
