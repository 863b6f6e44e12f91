// Adapter "lora": low-rank branches beside chosen matrices of a frozen model (Hu et al. 2021).

#include <algorithm>

#include "nn/layers.hpp"
#include "nn/names.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/adapter.hpp"

namespace tessera {
namespace {

/// What PixArt-alpha's published LoRA training adapts: attention, feed-forward, caption and noise-level (and
/// size) embeddings, whatever the model calls them. The routers of experts and the maps to the modulation are
/// left alone.
const std::vector<std::string>& usual_targets() {
  static const std::vector<std::string> patterns{
      "attn.*", "cross_attn.*", "mlp.fc*",    "mlp.w*",
      "mlp.0",  "mlp.2",        "y_proj.fc*", "pooled_y_emb_process.fc*"};
  return patterns;
}

std::vector<std::string> names_of(const std::vector<nn::NamedLinear>& linears) {
  std::vector<std::string> names;
  for (const nn::NamedLinear& named : linears) names.push_back(named.name);
  return names;
}

/// The error of a pattern that matches nothing.
Error no_match(const std::string& pattern, const std::vector<std::string>& names, const std::string& where) {
  std::vector<std::string> ends;
  for (const std::string& name : names) {
    for (std::string& end : nn::name_ends(name)) ends.push_back(std::move(end));
  }
  const auto nearest = nearest_word(pattern, ends);
  return Error("no matrix of the model has a name that ends with '" + pattern + "'", where,
               (nearest ? "Did you mean '" + *nearest + "'? The matrices are: " : "The matrices are: ") +
                   nn::name_patterns(names) + ".");
}

class Lora : public Adapter {
 public:
  explicit Lora(const Config& config) : config_(config) {}

  void attach(Backbone& backbone) override {
    nn::freeze(backbone);
    const std::vector<nn::NamedLinear> linears = nn::linears(backbone);
    const auto& patterns = config_.get<std::vector<std::string>>("targets");
    for (const std::string& pattern : patterns) {
      const auto& usual = usual_targets();
      if (std::ranges::find(usual, pattern) != usual.end()) continue;  // not every model has all of these
      if (std::ranges::none_of(linears, [&](const auto& l) { return nn::name_matches(l.name, pattern); }))
        throw no_match(pattern, names_of(linears), config_.where("targets"));
    }
    const auto rank = config_.get<std::int64_t>("rank");
    const double alpha = config_.get<double>("alpha");
    const bool gaussian = config_.get<std::string>("initialisation") == "gaussian";
    const nn::LowRankSpec spec{
        rank, (alpha == 0 ? 1.0 : alpha / static_cast<double>(rank)),
        gaussian ? nn::LowRankSpec::Start::gaussian : nn::LowRankSpec::Start::kaiming_uniform};
    for (const auto& [name, linear] : linears) {
      const auto matches = [&, &path = name](const auto& pattern) { return nn::name_matches(path, pattern); };
      if (std::ranges::none_of(patterns, matches)) continue;
      linear->add_low_rank(spec);
      adapted_.push_back(linear);
    }
    if (adapted_.empty()) {
      throw Error("no target names a matrix of the model", config_.where("targets"),
                  "The matrices are: " + nn::name_patterns(names_of(linears)) + ".");
    }
  }

  bool can_merge() const override { return true; }
  void merge(bool write) override {
    for (nn::Linear* linear : adapted_) linear->merge_low_rank(write);
  }

 private:
  Config config_;
  std::vector<nn::Linear*> adapted_;
};

void list(std::vector<Component>& out) {
  Schema schema("lora", "Low-rank branches beside chosen matrices; the model itself stays as it is (LoRA)");
  schema.integer("rank", 16)
      .range(1, 4096)
      .help(
          "Rows of A and columns of B in W + alpha / rank B A (PixArt-alpha: 16; with few steps (LCM) 32).");
  schema.number("alpha", 0)
      .at_least(0)
      .help("Scales what the branch adds, by alpha / rank; 0 stands for the rank, so that the scale is 1.");
  schema.strings("targets", usual_targets())
      .length(1, 1024)
      .help(
          "Ends of the names of the adapted matrices, part by part; a star stands for any characters between "
          "two dots: \"attn.*\" all matrices of attentions, \"blocks.2*.mlp.*\" feed-forwards of some "
          "blocks. What these usual ones name and the model lacks is left out; any other pattern must match. "
          "`tessera checkpoint show FILE --tensors` lists names.");
  schema.string("initialisation", "kaiming-uniform")
      .choices({"kaiming-uniform", "gaussian"})
      .help(
          "Of A: U(-1/sqrt(in), 1/sqrt(in)) as in the published code, or normal with deviation 1 / rank; B "
          "starts at zero.");
  out.push_back(component<Adapter>(
      std::move(schema),
      [](const Config& config, const Adapter::Spec&, Assembly&) { return std::make_unique<Lora>(config); }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("lora", "1.0", tessera::list)
