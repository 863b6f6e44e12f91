// Control map "given": maps that another program made (HED's edges, depth, poses). Their kind is recorded, so
// that a run with another kind is refused; to make them takes that other program.

#include "base/error.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/control_map.hpp"

namespace tessera {
namespace {

class GivenMap : public ControlMap {
 public:
  explicit GivenMap(const Config& config) : kind_(config.get<std::string>("kind")) {}

  io::Image extract(const io::Image&) const override {
    throw Error(
        "a map of the kind '" + kind_ +
            "' cannot be made from a picture here: the control map 'given' "
            "takes maps that another program made",
        "[control]",
        "name the maps' files in the column 'control' of the captions file, and draw with --control FILE "
        "--control-map; or choose a control map that is made here, such as 'canny'");
  }
  std::string identity() const override { return "given kind=" + kind_; }

 private:
  std::string kind_;
};

void list(std::vector<Component>& out) {
  Schema schema("given", "Maps that another program made, files of their own beside the pictures");
  schema.string("kind", "hed").help("What they are; compared with what the shards record.");
  out.push_back(
      component<ControlMap>(std::move(schema), [](const Config& config, const ControlMap::Spec&, Assembly&) {
        return std::make_unique<GivenMap>(config);
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("given_map", "1.0", tessera::list)
