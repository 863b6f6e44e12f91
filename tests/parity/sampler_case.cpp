// Kind "microdit_sampler": Heun's method with and without guidance, every state and every network call.

#include <algorithm>
#include <cmath>

#include "cases.hpp"

namespace tessera::parity {

void run_sampler(const Fixture& fixture, ReferenceModel& model, Comparison* comparison) {
  const Shape shape = fixture.shape("inputs/latents");
  const Shape text = fixture.shape("inputs/captions");
  const std::vector<double> captions = fixture.values("inputs/captions");
  DenoiserRequest request;
  request.shape = shape;
  request.captions.assign(captions.begin(), captions.end());
  request.caption_width = text[3];
  request.guidance = fixture.guidance();
  const auto denoiser = model.objective->denoiser(*model.backbone, request);

  std::vector<double> states;
  std::vector<double> sigmas;
  std::vector<double> inputs;
  std::vector<double> denoised;
  SamplerTrace trace;
  trace.after_step = [&](int, int, const std::vector<double>& state) {
    states.insert(states.end(), state.begin(), state.end());
  };
  trace.after_call = [&](double sigma, const std::vector<double>& input, const std::vector<double>& result) {
    sigmas.push_back(sigma);
    inputs.insert(inputs.end(), input.begin(), input.end());
    denoised.insert(denoised.end(), result.begin(), result.end());
  };
  const NoiseSource start = [&](int) { return fixture.values("inputs/latents"); };
  const std::vector<double> final =
      model.sampler->sample(*denoiser, start, model.config.at("steps").get<int>(), trace);
  if (comparison == nullptr) return;
  comparison->check(Quantity::output, "outputs/call_sigma", sigmas, fixture.values("outputs/call_sigma"));
  comparison->check(Quantity::output, "outputs/call_input", inputs, fixture.values("outputs/call_input"));
  const std::vector<double> expected = fixture.values("outputs/call_denoised");
  double largest = 0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  const std::size_t size = expected.size() / sigmas.size();
  for (std::size_t call = 0; call < sigmas.size(); ++call) {
    const auto part = [&](const std::vector<double>& all) {
      return std::vector<double>(all.begin() + static_cast<std::ptrdiff_t>(call * size),
                                 all.begin() + static_cast<std::ptrdiff_t>((call + 1) * size));
    };
    comparison->check(Quantity::output, "outputs/call_denoised/" + std::to_string(call), part(denoised),
                      part(expected), largest);
  }
  comparison->check(Quantity::output, "outputs/x_next", states, fixture.values("outputs/x_next"));
  comparison->check(Quantity::output, "outputs/final", final, fixture.values("outputs/final"));
}

}  // namespace tessera::parity
