#include "datasets/features/feature_builder.hpp"

#include <mutex>
#include <optional>

#include "base/error.hpp"
#include "datasets/features/feature_list.hpp"
#include "datasets/features/npy.hpp"
#include "datasets/for_each_index.hpp"
#include "datasets/labels.hpp"
#include "datasets/shard_output.hpp"

namespace tessera::datasets::features {
namespace {

constexpr std::size_t rows_in_memory = 64;

/// What the whole list has in common, from a first reading.
struct Outline {
  std::size_t rows = 0;
  bool captions = false;
  Labels groups, subgroups;
};

/// @param controls  whether every line must name control maps
Outline outline_of(const Options& options, bool controls) {
  Outline outline;
  FeatureList list(options.list);
  for (FeatureRow row; list.next(row); ++outline.rows) {
    const std::string where = options.list.string() + ":" + std::to_string(row.line);
    if (row.latents.size() != options.sizes.size()) {
      throw Error("the line names " + std::to_string(row.latents.size()) + " latents for " +
                      std::to_string(options.sizes.size()) + " sizes.",
                  where, "Name one file for each size, in the order of --size.");
    }
    if (controls && row.controls.size() != row.latents.size()) {
      throw Error("the line names " + std::to_string(row.controls.size()) + " control maps for " +
                      std::to_string(row.latents.size()) + " latents.",
                  where, "Name as many files in \"controls\", or leave --control and [control] away.");
    }
    bool captions = !row.captions.empty();
    for (const FeatureRow::Caption& caption : row.captions) captions = captions && !caption.features.empty();
    if (outline.rows == 0) outline.captions = captions;
    if (captions != outline.captions) {
      throw Error(outline.captions ? "the line has a caption without features, but lines before have them."
                                   : "the line has features of its captions, but lines before have none.",
                  where, "Give \"features\" in every line, or in none.");
    }
    (void)outline.groups.row(row.group);
    (void)outline.subgroups.row(row.subgroup);
  }
  if (outline.rows == 0)
    throw Error("the list is empty.", options.list.string(), "Write a line per picture.");
  return outline;
}

class Packer {
 public:
  Packer(const Encoders& encoders, const Options& options)
      : encoders_(encoders), options_(options), outline_(outline_of(options, encoders.control != nullptr)) {
    header_.codec = encoders.codec.identity();
    header_.text_encoder = encoders.text_encoder.identity();
    if (encoders.control != nullptr) header_.control = encoders.control->identity();
    header_.latent = options.latent;
    header_.latent_type = options.latent_type;
    header_.channels = static_cast<std::uint32_t>(encoders.codec.channels());
    header_.resolutions = options.sizes;
    if (outline_.captions) {
      header_.caption_length = static_cast<std::uint32_t>(encoders.text_encoder.length());
      header_.caption_width = static_cast<std::uint32_t>(encoders.text_encoder.width());
    }
    header_.caption_store = options.captions;
    header_.groups = outline_.groups.names();
    header_.subgroups = outline_.subgroups.names();
  }

  BuildReport pack() {
    BuildReport report;
    ShardOutput output(options_, header_);
    FeatureList list(options_.list);
    while (read_some(list)) {
      for (std::size_t i = 0; i < rows_.size(); ++i) {
        if (rows_[i].held_out) {
          output.hold_out(records_[i]);
          ++report.held_out;
        } else {
          output.train_on(records_[i]);
          ++report.pictures;
        }
      }
    }
    report.records = report.pictures;
    output.finish(report, outline_.rows,
                  Error("every line is held out, so there is nothing to train on.", options_.list.string(),
                        "Leave \"held_out\" away in some."));
    return report;
  }

 private:
  /// The next rows of this part, and their records. @return false when there are none.
  bool read_some(FeatureList& list) {
    rows_.clear();
    const std::size_t first = options_.part.begin(outline_.rows);
    const std::size_t last = options_.part.end(outline_.rows);
    for (FeatureRow row; rows_.size() < rows_in_memory && row_ < last && list.next(row); ++row_) {
      if (row_ >= first) rows_.push_back(std::move(row));
    }
    records_.assign(rows_.size(), {});
    std::mutex mutex;
    for_each_index(0, rows_.size(), options_.threads, [&](std::size_t i) {
      records_[i] = record_of(rows_[i]);
      const std::lock_guard lock(mutex);
      if (options_.progress) options_.progress(++done_, last - first);
    });
    return !rows_.empty();
  }

  [[noreturn]] void refuse(const FeatureRow& row, const std::string& file, const std::string& why,
                           const std::string& remedy) const {
    throw Error(file + " " + why + ".", options_.list.string() + ":" + std::to_string(row.line), remedy);
  }

  [[nodiscard]] NpyArray read(const std::string& file) const {
    return read_npy((options_.list.parent_path() / file).string());  // an absolute path stands for itself
  }

  data::Record record_of(const FeatureRow& row) const {
    data::Record record;
    record.id = row.id;
    for (std::size_t i = 0; i < row.latents.size(); ++i) {
      record.latents.push_back(latent_of(row, row.latents[i], i));
      if (encoders_.control != nullptr) record.controls.push_back(latent_of(row, row.controls[i], i));
    }
    const data::Grid& largest = record.latents.back().grid;
    const auto unit = static_cast<std::int32_t>(encoders_.codec.downsampling());
    record.width = row.width > 0 ? row.width : static_cast<std::int32_t>(largest.width) * unit;
    record.height = row.height > 0 ? row.height : static_cast<std::int32_t>(largest.height) * unit;
    record.group = outline_.groups.known_row(row.group);
    record.subgroup = outline_.subgroups.known_row(row.subgroup);
    for (const FeatureRow::Caption& caption : row.captions) {
      record.captions.push_back(caption.features.empty() ? data::Record::Caption{caption.text, 0, {}}
                                                         : caption_of(row, caption));
    }
    return record;
  }

  /// Of the size with this index.
  data::Record::Latent latent_of(const FeatureRow& row, const std::string& file, std::size_t index) const {
    NpyArray array = read(file);
    std::vector<std::uint64_t> shape = array.shape;
    const bool posterior = options_.latent == data::LatentKind::posterior;
    const std::uint64_t channels = header_.channels;
    if (shape.size() == 4 && shape[0] == (posterior ? 2U : 1U)) {
      shape = {shape[0] * shape[1], shape[2], shape[3]};
    }
    if (shape.size() != 3 || shape[0] != (posterior ? 2 : 1) * channels) {
      refuse(row, file, "holds " + shape_text(array.shape) + " values",
             std::string("The codec has ") + std::to_string(channels) + " channels: give [C, h, w]" +
                 (posterior ? " of the mean and then of the standard deviation."
                            : ", or say --posterior for means and deviations."));
    }
    const std::int64_t size = options_.sizes[index];
    const auto side = static_cast<std::uint64_t>(size / encoders_.codec.downsampling());
    if (!options_.buckets && (shape[1] != side || shape[2] != side)) {
      refuse(row, file,
             "holds a latent of " + std::to_string(shape[1]) + " x " + std::to_string(shape[2]) +
                 ", but the size " + std::to_string(size) + " makes " + std::to_string(side) + " x " +
                 std::to_string(side),
             "Correct --size, or say --buckets for pictures that are not squares of it.");
    }
    if (options_.factor != 1) {
      for (float& value : array.values) value = static_cast<float>(options_.factor * value);
    }
    return {{static_cast<std::uint32_t>(shape[1]), static_cast<std::uint32_t>(shape[2])},
            std::move(array.values)};
  }

  data::Record::Caption caption_of(const FeatureRow& row, const FeatureRow::Caption& caption) const {
    NpyArray array = read(caption.features);
    std::vector<std::uint64_t> shape = array.shape;
    while (shape.size() > 2 && shape.front() == 1) shape.erase(shape.begin());
    const std::uint64_t length = header_.caption_length;
    const std::uint64_t width = header_.caption_width;
    if (shape.size() != 2 || shape[1] != width || shape[0] > length) {
      refuse(row, caption.features, "holds " + shape_text(array.shape) + " values",
             "The text encoder gives at most " + std::to_string(length) + " x " + std::to_string(width) +
                 ": correct [text_encoder] length and width, or the features.");
    }
    const std::uint64_t real = caption.length.value_or(static_cast<std::uint32_t>(shape[0]));
    if (real > shape[0]) {
      refuse(row, caption.features, "holds " + std::to_string(shape[0]) + " positions",
             "\"length\" is " + std::to_string(real) + ", which can be at most that.");
    }
    array.values.resize(length * width, 0.0F);
    return {caption.text, static_cast<std::uint32_t>(real), std::move(array.values)};
  }

  const Encoders& encoders_;
  const Options& options_;
  Outline outline_;
  data::ShardHeader header_;
  std::size_t row_ = 0;  // of the list, that is read next
  std::vector<FeatureRow> rows_;
  std::vector<data::Record> records_;
  std::size_t done_ = 0;
};

void check_sizes(const Encoders& encoders, const Options& options) {
  const std::int64_t unit = encoders.codec.downsampling();
  for (std::size_t i = 0; i < options.sizes.size(); ++i) {
    if (options.sizes[i] % unit == 0 && (i == 0 || options.sizes[i] > options.sizes[i - 1])) continue;
    throw Error("the size " + std::to_string(options.sizes[i]) +
                    " is not larger than the one before, or not "
                    "a multiple of the codec's " +
                    std::to_string(unit) + " pixels.",
                options.folder, "Give each size once, smallest first.");
  }
}

}  // namespace

BuildReport build_feature_shards(const Encoders& encoders, const Options& options) {
  check_sizes(encoders, options);
  if (std::optional<BuildReport> report = finished_part(options)) return *report;
  return Packer(encoders, options).pack();
}

}  // namespace tessera::datasets::features
