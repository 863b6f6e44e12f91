#include "edm.hpp"
#include "ops/accumulate.hpp"
#include "preconditioning.hpp"

namespace tessera {
namespace {

double rounded(double value) { return static_cast<float>(value); }

/// The coefficients as float32 arithmetic gives them, step by step. Near the end of sampling the sampler
/// divides x - D by a small sigma, so a unit in the last place of c_skip z shows in the picture's last
/// digits. Rounding a float64 result of two float32 operands is exact float32 arithmetic, whatever a compiler
/// fuses.
edm::Coefficients<double> rounded_coefficients(double sigma, double sigma_data) {
  const double data = rounded(sigma_data);
  const double data_variance = rounded(sigma_data * sigma_data);
  const double variance = rounded(rounded(sigma * sigma) + data_variance);
  const double root = rounded(std::sqrt(variance));
  const double product = rounded(sigma * data);
  return {rounded(data_variance / variance), rounded(product / root), rounded(1.0 / root),
          rounded(rounded(std::log(sigma)) / 4.0), rounded(variance / rounded(product * product))};
}

class EdmDenoiser : public Denoiser {
 public:
  EdmDenoiser(const Backbone& network, const DenoiserRequest& request, const EdmObjective::Settings& settings)
      : network_(network), shape_(request.shape), settings_(settings), guidance_(request.guidance) {
    std::vector<float> captions = request.captions;
    const auto batch = static_cast<std::size_t>(shape_[0]);
    const std::size_t per_image = captions.size() / batch;
    if (guided()) {
      if (request.null_caption.size() != per_image) {
        throw Error("the null caption has " + std::to_string(request.null_caption.size()) +
                    " values, a caption has " + std::to_string(per_image));
      }
      for (std::size_t b = 0; b < batch; ++b) {
        captions.insert(captions.end(), request.null_caption.begin(), request.null_caption.end());
      }
    }
    const std::int64_t rows = guided() ? 2 * shape_[0] : shape_[0];
    const auto width = static_cast<std::int64_t>(request.caption_width);
    captions_.features = ops::Variable(ops::converted(
        Tensor::from_host(captions, {rows, static_cast<std::int64_t>(per_image) / width, width}),
        network.precision().residual));
  }

  std::vector<double> denoise(const std::vector<double>& x, double sigma) override {
    const ops::NoGradScope no_grad;
    // As published: state in float64, but the network and its preconditioning see float32 values.
    const edm::Coefficients<double> c = rounded_coefficients(static_cast<float>(sigma), settings_.sigma_data);
    const std::size_t count = x.size();
    const std::size_t copies = guided() ? 2 : 1;
    std::vector<double> input(count * copies);
    for (std::size_t i = 0; i < input.size(); ++i) input[i] = rounded(c.in * rounded(x[i % count]));
    const std::int64_t rows = shape_[0] * static_cast<std::int64_t>(copies);
    const std::vector<double> levels(static_cast<std::size_t>(rows), c.noise);
    const DType type = network_.precision().residual;
    const Tensor output =
        network_
            .forward({ops::Variable(ops::converted(
                          Tensor::from_host(input, {rows, shape_[1], shape_[2], shape_[3]}), type)),
                      ops::converted(Tensor::from_host(levels, {rows}), type), captions_, nullptr})
            .value();
    const std::vector<double> raw = ops::converted(output, DType::f64).to_host<double>();
    std::vector<double> denoised(count);
    for (std::size_t i = 0; i < count; ++i) {
      const double f = guided() ? raw[count + i] + guidance_ * (raw[i] - raw[count + i]) : raw[i];
      denoised[i] = rounded(c.skip * rounded(x[i])) + c.out * f;
    }
    return denoised;
  }

  const Shape& shape() const override { return shape_; }
  double sigma_min() const override { return settings_.sigma_min; }
  double sigma_max() const override { return settings_.sigma_max; }

 private:
  bool guided() const { return guidance_ > 1.0; }

  const Backbone& network_;
  Shape shape_;
  EdmObjective::Settings settings_;
  double guidance_;
  CaptionFeatures captions_;
};

}  // namespace

std::unique_ptr<Denoiser> make_edm_denoiser(const Backbone& network, const DenoiserRequest& request,
                                            const EdmObjective::Settings& settings) {
  return std::make_unique<EdmDenoiser>(network, request, settings);
}

}  // namespace tessera
