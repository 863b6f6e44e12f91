#include "train/start_point.hpp"

namespace tessera::train {

StartPoint::StartPoint(const StartSettings& settings) : settings_(settings), file_(settings.checkpoint) {
  try {
    description_ = checkpoint::describe(file_);
    model_ = earlier_model(description_, file_, settings.weights);
  } catch (const Error& error) {
    throw Error("the run cannot start from " + file_.string() + ": " + error.summary(), settings.where,
                error.remedy());
  }
  if (settings.digest.empty() || settings.digest == digest()) return;
  throw Error("the checkpoint " + file_.string() + " has the digest " + digest() +
                  ", but the configuration asks for " + settings.digest + ".",
              settings.where,
              "Name the file that the run was meant to start from, or remove `digest` from [start].");
}

std::string StartPoint::text() const {
  const checkpoint::RunState& state = description_.state;
  return file_.string() + " (digest " + digest() + "): stage '" + state.stage_name + "', step " +
         std::to_string(state.global_step) + ", " +
         (checkpoint::takes_average(description_, file_, settings_.weights) ? "running average"
                                                                            : "trained weights");
}

void StartPoint::check_continuation() const {
  if (settings_.weights == checkpoint::Weights::average) {
    throw Error("an optimizer goes on with the trained weights, not with their running average.",
                settings_.hand_over.where("hand_over"),
                "Set [start] weights = \"trained\", or hand_over = \"weights\".");
  }
  for (const char* group : {"first_moment", "second_moment"}) {
    if (description_.has_group(group)) continue;
    throw Error("this checkpoint holds no optimizer state to go on with.", file_.string(),
                "Set [start] hand_over = \"weights\".");
  }
}

std::string recorded_digest(const checkpoint::Found& checkpoint) {
  return ConfigTree::parse(checkpoint.description.state.config, checkpoint.file.string())
      .get_string("start.digest", "");
}

}  // namespace tessera::train
