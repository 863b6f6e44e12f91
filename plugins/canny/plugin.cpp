// Control map "canny": edges by Canny's detector (Canny 1986).

#include "base/error.hpp"
#include "canny.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/control_map.hpp"

namespace tessera {
namespace {

class CannyEdges : public ControlMap {
 public:
  explicit CannyEdges(const Config& config)
      : thresholds_{static_cast<int>(config.get<std::int64_t>("low")),
                    static_cast<int>(config.get<std::int64_t>("high"))} {
    if (thresholds_.low <= thresholds_.high) return;
    throw Error("edges would begin above " + std::to_string(thresholds_.high) + " but only go on above " +
                    std::to_string(thresholds_.low),
                config.where("low"), "set low to at most high");
  }
  io::Image extract(const io::Image& picture) const override { return canny(picture, thresholds_); }
  std::string identity() const override {
    return "canny low=" + std::to_string(thresholds_.low) + " high=" + std::to_string(thresholds_.high);
  }

 private:
  CannyThresholds thresholds_;
};

void list(std::vector<Component>& out) {
  Schema schema("canny", "Edges: white lines on black (Canny's detector, as OpenCV computes it)");
  schema.integer("low", 100)
      .range(0, 2040)
      .help(
          "An edge goes on where the picture's gradient, |dx| + |dy| of Sobel's differences, is above this.");
  schema.integer("high", 200).range(0, 2040).help("An edge begins where the gradient is above this.");
  out.push_back(
      component<ControlMap>(std::move(schema), [](const Config& config, const ControlMap::Spec&, Assembly&) {
        return std::make_unique<CannyEdges>(config);
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("canny", "1.0", tessera::list)
