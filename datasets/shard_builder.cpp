#include "datasets/shard_builder.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>

#include "base/error.hpp"
#include "data/aspect_buckets.hpp"
#include "datasets/for_each_index.hpp"
#include "datasets/labels.hpp"
#include "datasets/shard_output.hpp"
#include "io/resize.hpp"

namespace tessera::datasets {
namespace {

constexpr std::size_t pictures_in_memory = 64;

struct Label {
  std::int32_t group, subgroup;
};

class Builder {
 public:
  Builder(const Source& source, const Encoders& encoders, const BuildOptions& options)
      : source_(source),
        encoders_(encoders),
        options_(options),
        first_(options.part.begin(source.size())),
        last_(options.part.end(source.size())) {
    check_sizes();
    if (options.bucket_unit > 0) {
      buckets_ = data::aspect_buckets(options.sizes, options.bucket_unit);
    } else {
      buckets_.push_back({1, {}});
      for (const std::int64_t size : options.sizes) {
        buckets_.front().sizes.push_back({static_cast<int>(size), static_cast<int>(size)});
      }
    }
    Labels groups;
    Labels subgroups;
    for (std::size_t i = 0; i < source.size(); ++i) {
      const Picture& picture = source.picture(i);
      labels_.push_back({groups.row(picture.group), subgroups.row(picture.subgroup)});
    }
    header_.codec = encoders.codec.identity();
    header_.text_encoder = encoders.text_encoder.identity();
    if (encoders.control != nullptr) header_.control = encoders.control->identity();
    header_.latent_type = options.latent_type;
    header_.channels = static_cast<std::uint32_t>(encoders.codec.channels());
    header_.resolutions = options.sizes;
    header_.caption_length = static_cast<std::uint32_t>(encoders.text_encoder.length());
    header_.caption_width = static_cast<std::uint32_t>(encoders.text_encoder.width());
    header_.caption_store = options.captions;
    header_.groups = groups.names();
    header_.subgroups = subgroups.names();
  }

  BuildReport build() {
    BuildReport report;
    std::map<double, std::size_t> in_buckets;
    ShardOutput output(options_, header_);
    for (std::size_t begin = first_; begin < last_; begin += pictures_in_memory) {
      const std::size_t end = std::min(begin + pictures_in_memory, last_);
      prepare(begin, end);
      for (std::size_t i = begin; i < end; ++i) {
        data::Record& record = records_[i - begin];
        const Picture& picture = source_.picture(i);
        if (is_too_long(picture)) {
          ++report.too_long;
        } else if (picture.held_out) {
          output.hold_out(record);
          ++report.held_out;
        } else {
          const std::size_t times = options_.repeats ? options_.repeats(picture) : 1;
          for (std::size_t copy = 1; copy <= times; ++copy) {
            if (copy > 1) record.id = picture.id + "#" + std::to_string(copy);
            output.train_on(record);
          }
          report.pictures += times == 0 ? 0 : 1;
          if (times > 0) ++in_buckets[buckets_[bucket_[i - begin]].ratio];
          report.records += times;
        }
      }
    }
    output.finish(
        report, source_.size(),
        Error("every picture is held out, too long or has the weight 0, so there is nothing to train on",
              options_.folder, "choose a larger subset, or allow longer pictures"));
    report.full_captions = full_captions_;
    report.buckets.assign(in_buckets.begin(), in_buckets.end());
    return report;
  }

 private:
  void check_sizes() const {
    const std::int64_t unit = encoders_.codec.downsampling();
    if (options_.sizes.empty()) throw Error("no picture size is given", options_.folder, "give at least one");
    for (std::size_t i = 0; i < options_.sizes.size(); ++i) {
      const std::int64_t size = options_.sizes[i];
      if (size < unit || size % unit != 0 || size > io::max_image_side) {
        throw Error("the size " + std::to_string(size) + " does not suit the codec '" +
                        encoders_.codec.identity() + "', whose latents stand for " + std::to_string(unit) +
                        " pixels a side",
                    options_.folder, "give multiples of " + std::to_string(unit));
      }
      if (i > 0 && size <= options_.sizes[i - 1]) {
        throw Error("the sizes are not in ascending order", options_.folder,
                    "give each size once, smallest first");
      }
    }
    if (options_.bucket_unit % unit != 0) {
      throw Error("a unit of " + std::to_string(options_.bucket_unit) +
                      " pixels for aspect buckets does not suit the codec '" + encoders_.codec.identity() +
                      "', whose latents stand for " + std::to_string(unit) + " pixels a side",
                  options_.folder, "give a multiple of " + std::to_string(unit));
    }
  }

  [[nodiscard]] bool is_too_long(const Picture& picture) const {
    const auto [least, most] = std::minmax(picture.original_width, picture.original_height);
    return options_.max_ratio > 0 && most > options_.max_ratio * least;
  }

  data::Record record_of(std::size_t index, const io::Image& pixels, const data::AspectBucket& bucket) {
    const Picture& picture = source_.picture(index);
    data::Record record;
    record.id = picture.id;
    record.width = picture.original_width;
    record.height = picture.original_height;
    record.group = labels_[index].group;
    record.subgroup = labels_[index].subgroup;
    std::optional<io::Image> map;
    if (encoders_.control != nullptr) map = source_.load_control(index);
    for (const io::ImageSize size : bucket.sizes) {
      const std::int64_t pixels_per_element = encoders_.codec.downsampling();
      const data::Grid grid{static_cast<std::uint32_t>(size.height / pixels_per_element),
                            static_cast<std::uint32_t>(size.width / pixels_per_element)};
      const io::Image fitting = io::resize_and_crop(pixels, size);
      record.latents.push_back({grid, encoders_.codec.encode(fitting)});
      if (encoders_.control == nullptr) continue;
      const io::Image control = map ? io::resize_and_crop(*map, size) : encoders_.control->extract(fitting);
      record.controls.push_back({grid, encoders_.codec.encode(control)});
    }
    record.captions.push_back(caption_of(picture.caption));
    if (options_.alternatives) {
      for (const std::string& text : picture.alternative_captions)
        record.captions.push_back(caption_of(text));
    }
    return record;
  }

  data::Record::Caption caption_of(const std::string& text) {
    EncodedText encoded = encoders_.text_encoder.encode(text);
    if (encoded.real_tokens == encoders_.text_encoder.length()) ++full_captions_;
    return {text, static_cast<std::uint32_t>(encoded.real_tokens), std::move(encoded.features)};
  }

  /// Fills records_ and bucket_ with those of the pictures [begin, end), by several threads; the first error
  /// is thrown.
  void prepare(std::size_t begin, std::size_t end) {
    records_.assign(end - begin, {});
    bucket_.assign(end - begin, 0);
    std::mutex mutex;
    for_each_index(begin, end, options_.threads, [&](std::size_t i) {
      if (!is_too_long(source_.picture(i))) {
        const io::Image pixels = source_.load(i);
        const std::size_t bucket = data::nearest_bucket(buckets_, pixels.height, pixels.width);
        records_[i - begin] = record_of(i, pixels, buckets_[bucket]);
        bucket_[i - begin] = bucket;
      }
      const std::lock_guard lock(mutex);
      if (options_.progress) options_.progress(++done_, last_ - first_);
    });
  }

  const Source& source_;
  const Encoders& encoders_;
  const BuildOptions& options_;
  std::size_t first_, last_;  // the pictures [first_, last_)
  data::ShardHeader header_;
  std::vector<data::AspectBucket> buckets_;  // one, square, unless aspect buckets are asked for
  std::vector<Label> labels_;
  std::vector<data::Record> records_;
  std::vector<std::size_t> bucket_;  // of each of records_
  std::atomic<std::size_t> full_captions_{0};
  std::size_t done_ = 0;
};

}  // namespace

BuildReport build_shards(const Source& source, const Encoders& encoders, const BuildOptions& options) {
  if (std::optional<BuildReport> report = finished_part(options)) return *report;
  return Builder(source, encoders, options).build();
}

}  // namespace tessera::datasets
