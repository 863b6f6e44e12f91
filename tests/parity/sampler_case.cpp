// Kind "microdit_sampler": Heun's method with and without guidance, every state and every network call.

#include <algorithm>
#include <cmath>

#include "cases.hpp"

namespace tessera::parity {

namespace {

std::vector<double> part_of(const std::vector<double>& all, std::size_t index, std::size_t size) {
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(index * size);
  return {begin, begin + static_cast<std::ptrdiff_t>(size)};
}

double largest_of(const std::vector<double>& values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

/// How far one float32 rounding of the state may move what follows, relative to it. The network sees the
/// state rounded to float32; a last place of float32's sin in the noise embedding, which even the reference's
/// builds do not share, decides some of these roundings. A state that is rounded to the neighbouring float32
/// changes the denoised picture by 2^-23, and the correction from sigma to sigma' multiplies this by (sigma -
/// sigma')/(2 sigma'). With four steps that is 1.4e-5: the reference differs from itself by 9e-6 between a
/// processor's instruction sets.
double rounding_effect(const std::vector<double>& call_sigmas) {
  double factor = 0;
  for (std::size_t i = 1; i < call_sigmas.size(); ++i) {
    factor = std::max(factor, (call_sigmas[i - 1] - call_sigmas[i]) / (2 * call_sigmas[i]));
  }
  return std::ldexp(factor, -23);
}

/// Every network call by itself, from the recorded state: no rounding separates it from the reference.
void check_single_calls(const Fixture& fixture, Denoiser& denoiser, Comparison* comparison) {
  const std::vector<double> sigmas = fixture.values("outputs/call_sigma");
  const std::vector<double> inputs = fixture.values("outputs/call_input");
  const std::vector<double> expected = fixture.values("outputs/call_denoised");
  const std::size_t size = expected.size() / sigmas.size();
  for (std::size_t call = 0; call < sigmas.size(); ++call) {
    const std::vector<double> actual = denoiser.denoise(part_of(inputs, call, size), sigmas[call]).latent;
    if (comparison == nullptr) continue;
    comparison->check(Quantity::output, "outputs/call_denoised/" + std::to_string(call) + " by itself",
                      actual, part_of(expected, call, size));
  }
}

}  // namespace

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
  check_single_calls(fixture, *denoiser, comparison);
  if (comparison == nullptr) return;
  comparison->check(Quantity::output, "outputs/call_sigma", sigmas, fixture.values("outputs/call_sigma"));
  const double allowance = rounding_effect(sigmas);
  const auto check = [&](const std::string& name, const std::vector<double>& actual,
                         const std::vector<double>& expected, double scale = 0) {
    comparison->check(Quantity::output, name, actual, expected, scale, allowance);
  };
  check("outputs/call_input", inputs, fixture.values("outputs/call_input"));
  const std::vector<double> expected = fixture.values("outputs/call_denoised");
  const std::size_t size = expected.size() / sigmas.size();
  for (std::size_t call = 0; call < sigmas.size(); ++call) {
    check("outputs/call_denoised/" + std::to_string(call), part_of(denoised, call, size),
          part_of(expected, call, size), largest_of(expected));
  }
  check("outputs/x_next", states, fixture.values("outputs/x_next"));
  check("outputs/final", final, fixture.values("outputs/final"));
}

}  // namespace tessera::parity
