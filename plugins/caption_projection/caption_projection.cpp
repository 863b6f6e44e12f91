// Caption conditioner "projection": two linear maps per token; only real tokens are read, packed before the
// first map, so that padding costs nothing (PixArt-alpha). "No caption" is a fixed random table.

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "nn/mlp.hpp"
#include "ops/accumulate.hpp"
#include "ops/elementwise.hpp"
#include "ops/rows.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/caption_conditioner.hpp"

namespace tessera {
namespace {

/// Where the real tokens of a batch of padded captions lie.
struct Packing {
  std::vector<std::int64_t> rows;     ///< of [batch * length]
  std::vector<std::int64_t> offsets;  ///< of each caption among `rows`; batch + 1 numbers
};

/// An empty caption keeps one token: attention over nothing has no value.
Packing pack(const std::vector<std::int64_t>& lengths, const Shape& features) {
  const std::int64_t length = features[1];
  if (static_cast<std::int64_t>(lengths.size()) != features[0]) {
    throw Error(std::to_string(lengths.size()) + " caption lengths do not fit the captions " +
                features.to_string());
  }
  Packing packing{{}, {0}};
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    if (lengths[b] < 0 || lengths[b] > length) {
      throw Error("a caption of " + std::to_string(lengths[b]) + " real tokens does not fit into " +
                  std::to_string(length) + " positions");
    }
    const std::int64_t first = static_cast<std::int64_t>(b) * length;
    for (std::int64_t i = 0; i < std::max<std::int64_t>(lengths[b], 1); ++i)
      packing.rows.push_back(first + i);
    packing.offsets.push_back(static_cast<std::int64_t>(packing.rows.size()));
  }
  return packing;
}

class Projection : public CaptionConditioner {
 public:
  explicit Projection(const Spec& spec)
      : projection_(spec.caption_width, spec.width),
        null_(declare("y_embedder.y_embedding", {spec.caption_length, spec.caption_width},
                      nn::Initializer::normal(1.0 / std::sqrt(static_cast<double>(spec.caption_width))),
                      {.trainable = false, .exact = true})) {
    add_child("y_embedder.y_proj", projection_);
  }

  Output forward(const CaptionFeatures& captions) const override {
    const Shape& shape = captions.features.shape();
    if (shape.rank() != 3 || shape[2] != null_.shape()[1]) {
      throw Error("caption features of shape " + shape.to_string() + " are not [batch, length, " +
                  std::to_string(null_.shape()[1]) + "]");
    }
    if (captions.lengths.empty()) return {{projection_.forward(captions.features), {}}, {}};
    Packing packing = pack(captions.lengths, shape);
    const ops::Variable rows = ops::reshape(captions.features, {shape[0] * shape[1], shape[2]});
    return {{projection_.forward(ops::gather_rows(rows, packing.rows)), std::move(packing.offsets)}, {}};
  }

  std::vector<float> null_features(std::int64_t length) const override {
    if (length > null_.shape()[0]) {
      throw Error("captions of " + std::to_string(length) + " positions are longer than the model's null " +
                      "caption of " + std::to_string(null_.shape()[0]),
                  {}, "use the text encoder's `length` that the model was made with");
    }
    return ops::converted(null_.master().value().slice(0, length), DType::f32).to_host<float>();
  }
  bool needs_all_positions() const override { return false; }

 private:
  nn::CaptionMlp projection_;
  nn::Parameter& null_;
};

void list(std::vector<Component>& out) {
  out.push_back(component<CaptionConditioner>(
      Schema("projection", "Two linear maps of every real token; a fixed random table for no caption"),
      [](const Config&, const CaptionConditioner::Spec& spec, Assembly&) {
        return std::make_unique<Projection>(spec);
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("caption_projection", "1.0", tessera::list)
