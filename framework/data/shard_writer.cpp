#include "data/shard_writer.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "base/hash.hpp"
#include "data/half.hpp"
#include "io/file_seal.hpp"

namespace tessera::data {

using io::Extent;
using io::File;
using io::Hdf5File;
using io::StoredType;

namespace {

struct CaptionRow {
  std::string text;
  std::int32_t len_real;
  std::uint32_t crc;
};

struct RecordRow {
  std::string id;
  std::array<std::int32_t, 2> size;
  std::array<std::int32_t, 2> label;
  std::vector<std::uint32_t> crc, control_crc;
  std::vector<CaptionRow> captions;
};

void append(const File& file, std::uint64_t& bytes, std::span<const std::byte> piece) {
  file.write_at(piece.data(), piece.size(), bytes);
  bytes += piece.size();
}

void copy_bytes(const File& from, std::uint64_t bytes, const File& to, std::uint64_t offset) {
  std::vector<char> buffer(std::min<std::uint64_t>(bytes, std::uint64_t{1} << 20));
  for (std::uint64_t done = 0; done < bytes;) {
    const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), bytes - done));
    from.read_at(buffer.data(), piece, done);
    to.write_at(buffer.data(), piece, offset + done);
    done += piece;
  }
}

// The values in the stored type, as bytes.
std::vector<std::byte> encoded(std::span<const float> values, StoredType type) {
  std::vector<std::byte> bytes(values.size() * io::size_of(type));
  if (type == StoredType::f32) {
    std::copy_n(reinterpret_cast<const std::byte*>(values.data()), bytes.size(), bytes.data());
  } else {
    half_from_float(values.data(), reinterpret_cast<std::uint16_t*>(bytes.data()), values.size());
  }
  return bytes;
}

bool all_finite_as(std::span<const float> values, StoredType type) {
  if (type == StoredType::f32) return all_finite(values.data(), values.size());
  // 65520 is the first value that rounds to infinity in float16
  return std::all_of(values.begin(), values.end(), [](float v) { return v > -65520.0F && v < 65520.0F; });
}

template <class T>
std::uint32_t write_table(Hdf5File& file, ShardTable table, const std::vector<T>& values,
                          std::vector<std::uint64_t> shape, std::uint32_t crc) {
  file.create_dataset(dataset_of(table), type_of(table), shape);
  if (values.empty()) return crc;
  file.write(dataset_of(table), type_of(table), values.data());
  return crc32c(values.data(), values.size() * sizeof(T), crc);
}

}  // namespace

struct ShardWriter::Bucket {
  /// One scratch file per resolution.
  struct Latents {
    std::vector<File> files;
    std::vector<std::uint64_t> bytes;
  };
  std::vector<RecordRow> rows;
  Latents latents, controls;
  File features;
  std::uint64_t feature_bytes = 0;
};

ShardWriter::ShardWriter(std::string path, ShardHeader header)
    : path_(std::move(path)), header_(std::move(header)) {
  const auto refuse = [&](const std::string& what) {
    throw Error("cannot write a shard " + what + ".", path_, "Correct the header that the builder passes.");
  };
  if (header_.codec.empty() || header_.text_encoder.empty()) refuse("without codec or text encoder");
  if (header_.channels == 0) refuse("of latents without channels");
  if (header_.latent_type != StoredType::f16 && header_.latent_type != StoredType::f32) {
    refuse(std::string("of latents in ") + io::name_of(header_.latent_type));
  }
  const auto& sides = header_.resolutions;
  if (sides.empty() || sides.front() < 1 ||
      std::adjacent_find(sides.begin(), sides.end(), std::greater_equal<>()) != sides.end()) {
    refuse("whose resolutions are not ascending positive numbers");
  }
  (void)File::scratch(io::folder_of(path_));  // an unwritable folder is told before any work
}

ShardWriter::~ShardWriter() = default;

void ShardWriter::check(const Record& record) const {
  const auto refuse = [&](const std::string& what) {
    throw Error("record '" + record.id + "' " + what + ".", path_,
                "Leave this picture out, or correct the builder or the source file.");
  };
  const auto check_latents = [&](const std::vector<Record::Latent>& latents, const std::string& what) {
    if (latents.size() != header_.resolutions.size()) refuse("does not have one " + what + " per resolution");
    for (const Record::Latent& latent : latents) {
      if (latent.grid.height == 0 || latent.grid.width == 0 ||
          latent.values.size() != header_.latent_values(latent.grid)) {
        refuse("has a " + what + " of " + std::to_string(latent.values.size()) + " values, not " +
               std::to_string(header_.latent_values(latent.grid)));
      }
      if (!all_finite_as(latent.values, header_.latent_type)) {
        refuse("has a " + what + " with NaN, infinity or a value beyond " + io::name_of(header_.latent_type));
      }
    }
  };
  check_latents(record.latents, "latent");
  if (header_.control.empty()) {
    if (!record.controls.empty()) refuse("has control maps, which the header does not name");
  } else {
    check_latents(record.controls, "control map");
    if (!std::ranges::equal(record.latents, record.controls, {}, &Record::Latent::grid,
                            &Record::Latent::grid))
      refuse("has a control map of another size than its latent");
  }
  const std::uint64_t features = std::uint64_t{header_.caption_length} * header_.caption_width;
  if (features > 0 && record.captions.empty()) refuse("has no caption");
  for (const Record::Caption& caption : record.captions) {
    if (caption.features.size() != features || caption.len_real > header_.caption_length) {
      refuse("has a caption of " + std::to_string(caption.features.size()) + " features and " +
             std::to_string(caption.len_real) + " real positions; " + std::to_string(features) +
             " and at most " + std::to_string(header_.caption_length) + " are expected");
    }
    if (!all_finite_as(caption.features, StoredType::f16)) {
      refuse("has caption features with NaN, infinity or a value beyond float16");
    }
  }
  const auto known = [](std::int32_t label, const std::vector<std::string>& names) {
    return label >= -1 && label < static_cast<std::int32_t>(names.size());
  };
  if (!known(record.group, header_.groups) || !known(record.subgroup, header_.subgroups)) {
    refuse("has a group or subgroup that the header does not name");
  }
}

void ShardWriter::add(const Record& record) {
  check(record);
  std::vector<Grid> key;
  for (const Record::Latent& latent : record.latents) key.push_back(latent.grid);
  std::unique_ptr<Bucket>& slot = buckets_[key];
  const std::string folder = io::folder_of(path_);
  if (!slot) {
    slot = std::make_unique<Bucket>();
    for (Bucket::Latents* latents : {&slot->latents, &slot->controls}) {
      if (latents == &slot->controls && header_.control.empty()) continue;
      for (std::size_t r = 0; r < key.size(); ++r) latents->files.push_back(File::scratch(folder));
      latents->bytes.assign(key.size(), 0);
    }
    slot->features = File::scratch(folder);
  }
  Bucket& bucket = *slot;
  RecordRow row{record.id, {record.width, record.height}, {record.group, record.subgroup}, {}, {}, {}};
  const auto append_all = [&](const std::vector<Record::Latent>& latents, Bucket::Latents& to) {
    std::vector<std::uint32_t> crc;
    for (std::size_t r = 0; r < latents.size(); ++r) {
      const std::vector<std::byte> bytes = encoded(latents[r].values, header_.latent_type);
      crc.push_back(crc32c(bytes.data(), bytes.size()));
      append(to.files[r], to.bytes[r], bytes);
      bytes_ += bytes.size();
    }
    return crc;
  };
  row.crc = append_all(record.latents, bucket.latents);
  row.control_crc = append_all(record.controls, bucket.controls);
  for (const Record::Caption& caption : record.captions) {
    const std::uint64_t kept =
        header_.caption_store == CaptionStore::all ? header_.caption_length : caption.len_real;
    const std::vector<std::byte> bytes =
        encoded(std::span(caption.features).first(kept * header_.caption_width), StoredType::f16);
    append(bucket.features, bucket.feature_bytes, bytes);
    feature_rows_ += kept;
    row.captions.push_back(
        {caption.text, static_cast<std::int32_t>(caption.len_real), crc32c(bytes.data(), bytes.size())});
    bytes_ += bytes.size();
  }
  captions_ += row.captions.size();
  bucket.rows.push_back(std::move(row));
  ++records_;
}

/// What the shard says about every record, as it is written.
struct ShardWriter::Tables {
  std::vector<std::uint32_t> crc, control_crc, caption_crc;
  std::vector<std::int32_t> size, label, len_real;
  std::vector<std::int64_t> caption_first{0}, id_first{0}, text_first{0};
  std::vector<std::uint8_t> id, text;

  [[nodiscard]] std::uint64_t bytes() const {
    const auto sum = [](const auto&... table) {
      return (std::uint64_t{0} + ... + std::as_bytes(std::span(table)).size());
    };
    return sum(crc, control_crc, caption_crc, size, label, len_real, caption_first, id_first, text_first, id,
               text);
  }
};

ShardWriter::Tables ShardWriter::tables() const {
  Tables all;
  for (const auto& [grids, bucket] : buckets_) {
    for (const RecordRow& row : bucket->rows) {
      all.crc.insert(all.crc.end(), row.crc.begin(), row.crc.end());
      all.control_crc.insert(all.control_crc.end(), row.control_crc.begin(), row.control_crc.end());
      all.size.insert(all.size.end(), row.size.begin(), row.size.end());
      all.label.insert(all.label.end(), row.label.begin(), row.label.end());
      all.id.insert(all.id.end(), row.id.begin(), row.id.end());
      all.id_first.push_back(static_cast<std::int64_t>(all.id.size()));
      for (const CaptionRow& caption : row.captions) {
        all.caption_crc.push_back(caption.crc);
        all.len_real.push_back(caption.len_real);
        all.text.insert(all.text.end(), caption.text.begin(), caption.text.end());
        all.text_first.push_back(static_cast<std::int64_t>(all.text.size()));
      }
      all.caption_first.push_back(static_cast<std::int64_t>(all.caption_crc.size()));
    }
  }
  return all;
}

std::uint64_t ShardWriter::user_block() const { return io::seal_bytes(bulk_datasets() + kShardTables); }

std::uint64_t ShardWriter::bulk_datasets() const {
  const std::size_t groups = header_.control.empty() ? 1 : 2;
  return groups * buckets_.size() * header_.resolutions.size() + 1;  // latents and maps; caption features
}

std::uint64_t ShardWriter::file_bytes(const Tables& tables) const {
  constexpr std::uint64_t of_dataset = 8192;                          // header, alignment and name
  const std::uint64_t datasets = bulk_datasets() + kShardTables + 2;  // and the labels
  std::uint64_t texts = header_.codec.size() + header_.codec_config.size() + header_.text_encoder.size() +
                        header_.text_encoder_config.size() + header_.control.size();
  for (const auto* names : {&header_.groups, &header_.subgroups}) {
    for (const std::string& name : *names) texts += name.size() + 32;  // and its place in HDF5's heap
  }
  return bytes_ + tables.bytes() + user_block() + of_dataset * datasets + 2 * texts +
         (std::uint64_t{64} << 10);
}

std::uint64_t ShardWriter::file_bytes() const { return file_bytes(tables()); }

void ShardWriter::write_description(const std::string& path, const Tables& tables) const {
  Hdf5File file = Hdf5File::create(path, {.user_block = user_block()});
  std::vector<std::int64_t> bucket_records, bucket_grids;
  for (const auto& [grids, bucket] : buckets_) {
    for (std::size_t r = 0; r < grids.size(); ++r) {
      std::vector<std::uint64_t> shape{bucket->rows.size(), header_.channels, grids[r].height,
                                       grids[r].width};
      if (header_.latent == LatentKind::posterior) shape.insert(shape.begin() + 1, 2);
      for (const char* group : {"/latents", "/controls"}) {
        if (group == std::string("/controls") && header_.control.empty()) continue;
        file.create_dataset(latents_of(header_, group, r, bucket_records.size()), header_.latent_type, shape);
      }
      bucket_grids.push_back(grids[r].height);
      bucket_grids.push_back(grids[r].width);
    }
    bucket_records.push_back(static_cast<std::int64_t>(bucket->rows.size()));
  }
  const std::uint64_t n = records_, m = captions_;
  if (header_.caption_store == CaptionStore::all) {
    file.create_dataset("/captions/features", StoredType::f16,
                        std::array<std::uint64_t, 3>{m, header_.caption_length, header_.caption_width});
  } else {
    file.create_dataset("/captions/features", StoredType::f16,
                        std::array<std::uint64_t, 2>{feature_rows_, header_.caption_width});
  }
  std::uint32_t sum = 0;
  sum = write_table(file, ShardTable::crc, tables.crc, {n, header_.resolutions.size()}, sum);
  sum = write_table(file, ShardTable::size, tables.size, {n, 2}, sum);
  sum = write_table(file, ShardTable::label, tables.label, {n, 2}, sum);
  sum = write_table(file, ShardTable::caption_first, tables.caption_first, {n + 1}, sum);
  sum = write_table(file, ShardTable::id_first, tables.id_first, {n + 1}, sum);
  sum = write_table(file, ShardTable::id, tables.id, {tables.id.size()}, sum);
  sum = write_table(file, ShardTable::caption_crc, tables.caption_crc, {m}, sum);
  sum = write_table(file, ShardTable::len_real, tables.len_real, {m}, sum);
  sum = write_table(file, ShardTable::text_first, tables.text_first, {m + 1}, sum);
  sum = write_table(file, ShardTable::text, tables.text, {tables.text.size()}, sum);
  if (!header_.control.empty()) {
    sum =
        write_table(file, ShardTable::control_crc, tables.control_crc, {n, header_.resolutions.size()}, sum);
    file.set_attribute("/", "control", header_.control);
  }
  file.write_strings("/labels/groups", header_.groups);
  file.write_strings("/labels/subgroups", header_.subgroups);

  file.set_attribute("/", "format", kShardFormat);
  file.set_attribute("/", "format_version", kShardVersion);
  file.set_attribute("/", "records", static_cast<std::int64_t>(n));
  file.set_attribute("/", "captions", static_cast<std::int64_t>(m));
  file.set_attribute("/", "resolutions", std::span<const std::int64_t>(header_.resolutions));
  file.set_attribute("/", "latent", name_of(header_.latent));
  file.set_attribute("/", "latent_channels", static_cast<std::int64_t>(header_.channels));
  file.set_attribute("/", "codec", header_.codec);
  file.set_attribute("/", "codec_config", header_.codec_config);
  file.set_attribute("/", "text_encoder", header_.text_encoder);
  file.set_attribute("/", "text_encoder_config", header_.text_encoder_config);
  file.set_attribute("/", "caption_length", static_cast<std::int64_t>(header_.caption_length));
  file.set_attribute("/", "caption_width", static_cast<std::int64_t>(header_.caption_width));
  file.set_attribute("/", "caption_store", name_of(header_.caption_store));
  file.set_attribute("/", "bucket_records", std::span<const std::int64_t>(bucket_records));
  file.set_attribute("/", "bucket_grids", std::span<const std::int64_t>(bucket_grids));
  file.set_attribute("/", "tables_crc32c", static_cast<std::int64_t>(sum));
  file.close();
}

void ShardWriter::copy_bulk(const std::string& path, const ShardLayout& layout) const {
  const File file = File::open_update(path);
  std::uint64_t features = layout.features.offset;
  std::size_t k = 0;
  for (const auto& [grids, bucket] : buckets_) {
    for (std::size_t r = 0; r < grids.size(); ++r) {
      copy_bytes(bucket->latents.files[r], bucket->latents.bytes[r], file,
                 layout.buckets[k].latents[r].offset);
      if (header_.control.empty()) continue;
      copy_bytes(bucket->controls.files[r], bucket->controls.bytes[r], file,
                 layout.buckets[k].controls[r].offset);
    }
    copy_bytes(bucket->features, bucket->feature_bytes, file, features);
    features += bucket->feature_bytes;
    ++k;
  }
}

void ShardWriter::finish() {
  if (records_ == 0) {
    throw Error("there is no record to write.", path_,
                "Check that the source holds pictures and that the filters leave some.");
  }
  const Tables tables = this->tables();
  io::require_free_space(io::folder_of(path_), file_bytes(tables), "the shard");
  io::FileReplacement replacement(path_);
  write_description(replacement.temporary_path(), tables);
  // The reader's own code says where the bulk goes, and so vouches for the description just written.
  const ShardLayout layout = describe_shard(replacement.temporary_path()).layout;
  std::vector<Extent> bulk = layout.tables;
  bulk.push_back(layout.features);
  for (const ShardBucket& bucket : layout.buckets) {
    bulk.insert(bulk.end(), bucket.latents.begin(), bucket.latents.end());
    bulk.insert(bulk.end(), bucket.controls.begin(), bucket.controls.end());
  }
  copy_bulk(replacement.temporary_path(), layout);
  io::seal_file(replacement.temporary_path(), user_block(), bulk);
  replacement.commit();
  buckets_.clear();
}

}  // namespace tessera::data
