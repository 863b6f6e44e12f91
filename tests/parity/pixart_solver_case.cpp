// Kind "pixart_solver": the four samplers with guidance and recorded noise, every state and every network
// call.

#include <sstream>

#include "cases.hpp"
#include "plugin/noise_schedule.hpp"

namespace tessera::parity {
namespace {

using nlohmann::json;

/// The discrete samplers, whose settings name a method, guide three channels and add noise from the first
/// step on; the solvers guide all, and SA-Solver discards its first draw.
bool is_discrete(const json& settings) { return settings.contains("method"); }

/// "6" and "ddim6" are so many steps, evenly or by a stride; "2,4" are sections.
void set_respacing(const std::string& respacing, ConfigTree& tree) {
  const bool strided = respacing.starts_with("ddim");
  tree.set("sampler.spacing", FieldValue(std::string(strided ? "stride" : "even")));
  if (respacing.find(',') == std::string::npos) return;
  std::vector<std::int64_t> sections;
  std::istringstream text(respacing);
  for (std::string count; std::getline(text, count, ',');) sections.push_back(std::stoll(count));
  tree.set("sampler.sections", FieldValue(sections));
}

std::unique_ptr<Sampler> sampler_of(const json& settings, const ReferenceModel& model) {
  ConfigTree tree;
  const auto set = [&](const char* key, FieldValue value) {
    tree.set(std::string("sampler.") + key, std::move(value));
  };
  std::string name = settings.contains("eta") ? "sa-solver" : "dpm-solver++";
  if (is_discrete(settings)) {
    name = settings.at("method").get<std::string>() == "ddim" ? "ddim" : "iddpm";
    set_respacing(settings.at("respacing").get<std::string>(), tree);
  }
  set("name", name);
  set("steps", settings.at("steps").get<std::int64_t>());
  if (settings.contains("eta")) set("eta", settings.at("eta").get<double>());
  Assembly assembly(model.assembly->registry(), tree);
  return assembly.make<Sampler>("sampler", {});
}

DenoiserRequest request_of(const Fixture& fixture, const ReferenceModel& model, bool discrete) {
  const std::vector<double> captions = fixture.values("inputs/y");
  DenoiserRequest request;
  request.shape = fixture.shape("inputs/latents");
  request.captions.assign(captions.begin(), captions.end());
  request.caption_width = fixture.shape("inputs/y")[-1];
  // PixArtMS hands its text mask to the solvers only.
  const bool unmasked = discrete && model.config.at("class").get<std::string>() == "PixArtMS";
  if (!unmasked) request.caption_lengths = pixart_lengths(fixture);
  request.facts = pixart_facts(fixture);
  request.guidance = model.config.at("cfg_scale").get<double>();
  return request;
}

/// Draw 0 is the start. SA-Solver's step i, from 1, uses recorded draw i; a discrete sampler's, draw i - 1.
NoiseSource noise_of(const Fixture& fixture, bool discrete) {
  return [&fixture, discrete](int draw) {
    const std::vector<double> start = fixture.values("inputs/latents");
    if (draw == 0) return start;
    const std::vector<double> all = fixture.values("random/noise");
    const auto first = static_cast<std::ptrdiff_t>(start.size()) * (discrete ? draw - 1 : draw);
    return std::vector<double>(all.begin() + first,
                               all.begin() + first + static_cast<std::ptrdiff_t>(start.size()));
  };
}

}  // namespace

void run_pixart_solver(const Fixture& fixture, ReferenceModel& model, Comparison* comparison) {
  const json& settings = model.config.at("cases").at(fixture.selected());
  const bool discrete = is_discrete(settings);
  const auto sampler = sampler_of(settings, model);
  const auto objective = pixart_objective(model, discrete ? 3 : 0);
  const auto denoiser = objective->denoiser(*model.backbone, request_of(fixture, model, discrete));
  const NoiseSchedule schedule = NoiseSchedule::linear(1000, 1e-4, 0.02);

  std::vector<double> states;
  if (!discrete) states = fixture.values("inputs/latents");
  std::vector<double> times, clean;
  SamplerTrace trace;
  trace.after_step = [&](int, int, const std::vector<double>& state) {
    states.insert(states.end(), state.begin(), state.end());
  };
  trace.after_call = [&](double sigma, const std::vector<double>&, const std::vector<double>& denoised) {
    times.push_back(schedule.time_of(sigma));
    clean.insert(clean.end(), denoised.begin(), denoised.end());
  };
  const std::vector<double> final = sampler->sample(*denoiser, noise_of(fixture, discrete), 0, trace);
  if (comparison == nullptr) return;

  comparison->check(Quantity::output, "outputs/model_timesteps", times,
                    fixture.values("outputs/model_timesteps"));
  comparison->check(Quantity::output, "outputs/trajectory", states, fixture.values("outputs/trajectory"));
  comparison->check(Quantity::output, "outputs/final", final, fixture.values("outputs/final"));
  if (discrete) {
    comparison->check(Quantity::output, "outputs/pred_xstart", clean, fixture.values("outputs/pred_xstart"));
  } else {
    // The reference's own schedule is in float32; this is the same run with one in float64.
    const char* const exact = "outputs/final_float64_schedule";
    comparison->check(Quantity::output, exact, final, fixture.values(exact));
  }
}

}  // namespace tessera::parity
