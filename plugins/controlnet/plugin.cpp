// Adapter "controlnet": trained copies of a frozen model's blocks that read a control map (Zhang et al. 2023;
// for transformers PixArt-alpha, appendix A.9, and its published code).

#include "controlnet.hpp"
#include "plugin/abi.hpp"

namespace tessera {
namespace {

constexpr const char* under = "controlnet";

class ControlNetAdapter : public Adapter {
 public:
  ControlNetAdapter(const Config& config, Assembly& assembly) : config_(config), assembly_(assembly) {}

  void attach(Backbone& backbone) override {
    BlockStack* stack = backbone.blocks();
    if (stack == nullptr) {
      throw Error("the backbone has no blocks that could be copied", config_.where("blocks"),
                  "use the backbone 'dit', or the adapter 'lora'");
    }
    const auto wiring = config_.get<std::string>("wiring") == "chain" ? ControlNet::Wiring::chain
                                                                      : ControlNet::Wiring::per_block;
    // The chain's additions enter the block after each copied one.
    const std::int64_t most = wiring == ControlNet::Wiring::chain ? stack->depth() - 1 : stack->depth();
    auto count = config_.get<std::int64_t>("blocks");
    if (count == 0) count = most;
    if (count > most || most < 1) {
      throw Error("the adapter would copy " + std::to_string(count) + " blocks, but of a model of " +
                      std::to_string(stack->depth()) + " blocks this wiring copies at most " +
                      std::to_string(most),
                  config_.where("blocks"), "set blocks to 0 for as many as possible");
    }
    nn::freeze(backbone);
    control_ = std::make_unique<ControlNet>(*stack, wiring, count, assembly_);
    name_copies(path_of(backbone, *stack));
    backbone.add_parameters(under, *control_);
    stack->set_route(*control_);
  }

  std::map<std::string, std::string> copies() const override { return copies_; }
  bool reads_control() const override { return true; }

 private:
  static std::string path_of(Backbone& backbone, const BlockStack& stack) {
    for (const nn::NamedModule& named : backbone.modules()) {
      if (named.module == &stack) return named.name;
    }
    throw Error("the backbone's blocks are no part of it");
  }

  /// "controlnet.3.copied_block.attn.qkv.weight" begins as "blocks.3.attn.qkv.weight".
  void name_copies(const std::string& stack) {
    constexpr std::string_view copied = "copied_block.";
    for (const nn::NamedParameter& named : control_->parameters()) {
      const std::size_t number = named.name.find('.') + 1;
      if (named.name.compare(number, copied.size(), copied) != 0) continue;
      copies_[std::string(under) + "." + named.name] =
          stack + "." + named.name.substr(0, number) + named.name.substr(number + copied.size());
    }
  }

  Config config_;
  Assembly& assembly_;  // for attach() only
  std::unique_ptr<ControlNet> control_;
  std::map<std::string, std::string> copies_;
};

void list(std::vector<Component>& out) {
  Schema schema("controlnet",
                "Trained copies of a frozen model's blocks, which read a control map (ControlNet)");
  schema.string("wiring", "per-block")
      .choices({"per-block", "chain"})
      .help(
          "per-block: every copy reads the input of its block and the control, and adds to its block's "
          "output "
          "(PixArt-alpha's paper). chain: the first copy reads the first block's output and the control, "
          "every "
          "other one the copy before it, and each adds to the next block's input (the published code).");
  schema.integer("blocks", 0)
      .range(0, 1024)
      .help(
          "How many of the first blocks get a copy; 0 for as many as the wiring allows: all (the paper), or "
          "with chain all but the last (PixArt-alpha's code: 13 of 28).");
  out.push_back(component<Adapter>(std::move(schema),
                                   [](const Config& config, const Adapter::Spec&, Assembly& assembly) {
                                     return std::make_unique<ControlNetAdapter>(config, assembly);
                                   }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("controlnet", "1.0", tessera::list)
