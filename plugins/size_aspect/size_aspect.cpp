// Auxiliary conditioner "size-aspect": height and width of the original picture and the aspect ratio of its
// bucket, each embedded on a third of the conditioning vector (PixArt-alpha's multi-scale model, after SDXL).

#include "base/error.hpp"
#include "nn/embeddings.hpp"
#include "ops/elementwise.hpp"
#include "ops/rows.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/auxiliary_conditioner.hpp"

namespace tessera {
namespace {

constexpr std::int64_t parts = 3;

std::int64_t third_of(std::int64_t width) {
  if (width % parts != 0) {
    throw Error("size-aspect shares the conditioning vector of " + std::to_string(width) +
                    " values among height, width and aspect ratio",
                "[model.auxiliary]", "choose a backbone width that 3 divides");
  }
  return width / parts;
}

class SizeAspect : public AuxiliaryConditioner {
 public:
  SizeAspect(const Config& config, const Spec& spec)
      : size_(config.get<std::int64_t>("frequencies"), third_of(spec.width),
              nn::ScalarEmbedding::Activation::silu),
        aspect_(config.get<std::int64_t>("frequencies"), third_of(spec.width),
                nn::ScalarEmbedding::Activation::silu) {
    add_child("csize_embedder", size_);
    add_child("ar_embedder", aspect_);
  }

  ops::Variable forward(const PictureFacts& facts) const override {
    const std::size_t batch = facts.aspect.size();
    if (batch == 0 || facts.height.size() != batch || facts.width.size() != batch) {
      throw Error("the model reads height, width and aspect ratio of every picture, but was given " +
                      std::to_string(facts.height.size()) + ", " + std::to_string(facts.width.size()) +
                      " and " + std::to_string(batch) + " of them",
                  "size-aspect", "give all three for each picture, or use a model without [model.auxiliary]");
    }
    std::vector<double> sizes;  // height and width in turns: they share an embedding
    for (std::size_t b = 0; b < batch; ++b) {
      sizes.push_back(facts.height[b]);
      sizes.push_back(facts.width[b]);
    }
    const auto images = static_cast<std::int64_t>(batch);
    const ops::Variable size = size_.forward(Tensor::from_host(sizes, {2 * images}));
    const ops::Variable aspect = aspect_.forward(Tensor::from_host(facts.aspect, {images}));
    return ops::join_rows(ops::reshape(size, {images, 2 * size.shape()[1]}), aspect);
  }

 private:
  nn::ScalarEmbedding size_;
  nn::ScalarEmbedding aspect_;
};

void list(std::vector<Component>& out) {
  Schema schema("size-aspect", "Original height and width and the aspect ratio join the noise embedding");
  schema.integer("frequencies", 256).range(2, 65536).help("Width of the sinusoid of each number.");
  out.push_back(component<AuxiliaryConditioner>(
      std::move(schema), [](const Config& config, const AuxiliaryConditioner::Spec& spec, Assembly&) {
        return std::make_unique<SizeAspect>(config, spec);
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("size_aspect", "1.0", tessera::list)
