// Control map "canny": edges by OpenCV's Canny, whose maps published ControlNets are trained on.

#include "base/error.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/control_map.hpp"

#ifdef TESSERA_OPENCV
#include <opencv2/imgproc.hpp>
#endif

namespace tessera {
namespace {

#ifdef TESSERA_OPENCV

/// Of all three channels of the picture: at a pixel the steepest one counts.
class CannyEdges : public ControlMap {
 public:
  explicit CannyEdges(const Config& config)
      : low_(config.get<std::int64_t>("low")), high_(config.get<std::int64_t>("high")) {
    cv::setNumThreads(0);       // the caller's own threads extract, and ranks share the cores
    if (low_ <= high_) return;  // OpenCV exchanges them otherwise
    throw Error(
        "edges would begin above " + std::to_string(high_) + " but only go on above " + std::to_string(low_),
        config.where("low"), "set low to at most high");
  }

  io::Image extract(const io::Image& picture) const override {
    io::Image source = picture;  // cv::Mat has no constant view
    const cv::Mat pixels(source.height, source.width, CV_8UC3, source.pixels.data());
    io::Image map(picture.width, picture.height);
    cv::Mat result(map.height, map.width, CV_8UC3, map.pixels.data());
    cv::Mat edges;
    cv::Canny(pixels, edges, static_cast<double>(low_), static_cast<double>(high_));
    cv::cvtColor(edges, result, cv::COLOR_GRAY2RGB);
    return map;
  }
  std::string identity() const override {
    return "canny low=" + std::to_string(low_) + " high=" + std::to_string(high_);
  }

 private:
  std::int64_t low_, high_;
};

std::unique_ptr<ControlMap> make(const Config& config) { return std::make_unique<CannyEdges>(config); }

#else

std::unique_ptr<ControlMap> make(const Config&) {
  throw Error("the control map 'canny' is OpenCV's, which was not there when Tessera was built", "[control]",
              "install OpenCV's imgproc (Debian: libopencv-imgproc-dev), then configure and build again");
}

#endif

void list(std::vector<Component>& out) {
  Schema schema("canny", "Edges: white lines on black (OpenCV's Canny)");
  schema.integer("low", 100)
      .range(0, 2040)
      .help(
          "An edge goes on where the picture's gradient, |dx| + |dy| of Sobel's differences, is above this.");
  schema.integer("high", 200).range(0, 2040).help("An edge begins where the gradient is above this.");
  out.push_back(component<ControlMap>(std::move(schema), [](const Config& config, const ControlMap::Spec&,
                                                            Assembly&) { return make(config); }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("canny", "1.0", tessera::list)
