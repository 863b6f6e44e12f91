#include "edm.hpp"
#include "plugin/guided_network.hpp"
#include "preconditioning.hpp"

namespace tessera {
namespace {

double rounded(double value) { return static_cast<float>(value); }

class EdmDenoiser : public Denoiser {
 public:
  EdmDenoiser(const Backbone& network, const DenoiserRequest& request, const EdmObjective::Settings& settings)
      : network_(network, request), settings_(settings) {}

  Denoised denoise(const std::vector<double>& x, double sigma) override {
    // As published: state in float64, but the network and its preconditioning see float32 values.
    const edm::Coefficients<double> c = edm::float32_coefficients(rounded(sigma), settings_.sigma_data);
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
