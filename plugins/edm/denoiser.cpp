#include "edm.hpp"
#include "plugin/guided_network.hpp"
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
      : network_(network, request), settings_(settings) {}

  Denoised denoise(const std::vector<double>& x, double sigma) override {
    // As published: state in float64, but the network and its preconditioning see float32 values.
    const edm::Coefficients<double> c = rounded_coefficients(static_cast<float>(sigma), settings_.sigma_data);
    std::vector<double> input(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) input[i] = rounded(c.in * rounded(x[i]));
    Denoised result{network_.evaluate(input, c.noise), {}};
    for (std::size_t i = 0; i < x.size(); ++i) {
      result.latent[i] = rounded(c.skip * rounded(x[i])) + c.out * result.latent[i];
    }
    return result;
  }

  const Shape& shape() const override { return network_.shape(); }
  double sigma_min() const override { return settings_.sigma_min; }
  double sigma_max() const override { return settings_.sigma_max; }

 private:
  GuidedNetwork network_;
  EdmObjective::Settings settings_;
};

}  // namespace

std::unique_ptr<Denoiser> make_edm_denoiser(const Backbone& network, const DenoiserRequest& request,
                                            const EdmObjective::Settings& settings) {
  return std::make_unique<EdmDenoiser>(network, request, settings);
}

}  // namespace tessera
