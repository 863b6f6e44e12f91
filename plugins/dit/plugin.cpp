// Backbone "dit".

#include "dit.hpp"
#include "plugin/abi.hpp"

namespace tessera {
namespace {

Schema dit_schema() {
  Schema schema("dit", "Diffusion transformer of MicroDiT, PixArt-alpha and class-conditional DiT");
  schema.integer("width", 512).range(4, 65536).help("Width of the tokens (Tiny 512, XL 1024).");
  schema.integer("depth", 16)
      .range(1, 1024)
      .unit("blocks")
      .help("Number of backbone blocks (Tiny 16, XL 28).");
  schema.integer("head_dim", 32).range(1, 1024).help("Width of one attention head (Tiny 32, XL 64).");
  schema.integer("patch", 2).range(1, 64).help("Side of a patch, in latent elements.");
  schema.number("qkv_ratio_first", 0.5)
      .range(0.01, 16)
      .help("Attention width of the first block over the width.");
  schema.number("qkv_ratio_last", 1.0)
      .range(0.01, 16)
      .help("The same for the last block; linear in between.");
  schema.number("mlp_ratio_first", 0.5)
      .range(0.01, 64)
      .help("Feed-forward width of the first block over the width.");
  schema.number("mlp_ratio_last", 4.0)
      .range(0.01, 64)
      .help("The same for the last block; linear in between.");
  schema.numbers("qkv_ratios", std::vector<double>{})
      .range(0.01, 16)
      .help("Replaces the ramp: one ratio per block, or a number of ratios that divides the depth.");
  schema.numbers("mlp_ratios", std::vector<double>{}).range(0.01, 64).help("Replaces the ramp likewise.");
  schema.integer("experts_every", 2).range(0, 1024).help("Every n-th block has experts; 0 for none.");
  // The paper says every other block; the published model never has experts in its last block, and only
  // so 1.16 B parameters.
  schema.boolean("experts_in_last", false).help("Whether the last block may have experts.");
  schema.boolean("bias", false)
      .help("Whether attention and mixer maps have biases (MicroDiT no; DiT, PixArt-alpha yes).");
  schema.boolean("norm_gain", true)
      .help("Whether LayerNorms have a gain (MicroDiT yes; DiT, PixArt-alpha no).");
  schema.boolean("normalise_qk", true)
      .help("LayerNorm of queries and keys, without gain (MicroDiT yes; DiT, PixArt-alpha no).");
  // The MicroDiT paper says LayerNorm on queries and keys; the published code normalises all heads jointly,
  // and the published numbers of parameters leave no room for gains.
  schema.string("qk_norm_over", "all-heads")
      .choices({"all-heads", "each-head"})
      .help("What that LayerNorm is taken over: all heads jointly, or every head by itself.");
  schema.boolean("cross_norm", true)
      .help("LayerNorm before cross-attention (MicroDiT yes; PixArt-alpha no).");
  schema.number("norm_eps", 1e-6).range(0, 1).help("Added to variances in every LayerNorm.");
  schema.integer("noise_frequencies", 512)
      .range(2, 65536)
      .help("Width of the noise level's sinusoid (MicroDiT 512; DiT, PixArt-alpha 256).");
  schema.string("noise_activation", "gelu")
      .choices({"gelu", "silu"})
      .help("Inside the noise level's MLP: MicroDiT uses GELU (tanh formula), DiT and PixArt-alpha SiLU.");
  schema.number("position_scale", 1.0)
      .range(1e-3, 1e3)
      .help(
          "Divides position coordinates: 1 at the first resolution, 2 at twice its side. A stage may "
          "override it.");
  schema.boolean("learned_variance", false)
      .help("Predict a variance beside every channel: twice the channels (objectives that learn it).");
  schema.string("initialisation", "scaled")
      .choices({"scaled", "xavier"})
      .help(
          "Of the blocks' matrices: normal with outputs that shrink with depth (MicroDiT), or Xavier uniform "
          "with cross-attention that starts at zero (DiT, PixArt-alpha).");
  schema.string("patch_bias", "uniform")
      .choices({"uniform", "zero"})
      .help("Initial bias of the patch embedding: as a convolution's (published code), or zero (DiT).");
  schema.boolean("recompute", false)
      .help("Keep only block inputs for backward: less memory, a third more arithmetic.");
  return schema;
}

void list(std::vector<Component>& out) {
  out.push_back(component<Backbone>(dit_schema(),
                                    [](const Config& config, const Backbone::Spec& spec, Assembly& assembly) {
                                      return std::make_unique<Dit>(config, spec, assembly);
                                    }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("dit", "1.0", tessera::list)
