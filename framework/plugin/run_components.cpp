#include "plugin/run_components.hpp"

namespace tessera {

RunComponents::RunComponents(const Registry& registry, const ConfigTree& configuration)
    : outer_(registry, configuration), model_(registry, configuration.table("model")) {
  codec_ = outer_.make<Codec>("codec", {});
  text_encoder_ = outer_.make<TextEncoder>("text_encoder", {});
  control_ = outer_.make_optional<ControlMap>("control", {});
  encoder_tables_ = outer_.resolved();
  make_model();
}

RunComponents::RunComponents(const RunComponents& sibling, const ConfigTree& configuration)
    : outer_(sibling.outer_.registry(), configuration),
      model_(sibling.outer_.registry(), configuration.table("model")),
      codec_(sibling.codec_),
      text_encoder_(sibling.text_encoder_),
      control_(sibling.control_),
      encoder_tables_(sibling.encoder_tables_) {
  make_model();
}

void RunComponents::make_model() {
  backbone_ = model_.make<Backbone>("backbone", {.channels = codec_->channels(),
                                                 .caption_width = text_encoder_->width(),
                                                 .caption_length = text_encoder_->length()});
  adapter_ = model_.make_optional<Adapter>("adapter", {});
  if (adapter_ != nullptr) adapter_->attach(*backbone_);
  if (reads_control() && control_ == nullptr) {
    throw Error("the adapter '" + model_.name_at("adapter") +
                    "' reads control maps, but the configuration does not say what these are",
                model_.configuration().where("adapter.name"),
                "Add a table [control] with the name of a component that makes them: `tessera plugins`");
  }
  masking_ = model_.make<Masking>("masking", {});
  objective_ = outer_.make<Objective>("objective", {});
  sampler_ = outer_.make<Sampler>("sampler", {});
}

ConfigTree RunComponents::resolved() const {
  ConfigTree tree = encoder_tables_;
  tree.merge(outer_.resolved());
  tree.insert("model", model_.resolved());
  return tree;
}

bool RunComponents::set_sampler(const ConfigTree& settings) {
  ConfigTree wanted;
  wanted.insert("sampler", settings);
  const std::string own = outer_.name_at("sampler");
  const bool another = settings.get_string("name", own) != own;
  ConfigTree configuration = another ? ConfigTree() : outer_.configuration();
  configuration.merge(wanted);
  Assembly assembly(outer_.registry(), configuration);
  sampler_ = assembly.make<Sampler>("sampler", {});
  return another;
}

}  // namespace tessera
