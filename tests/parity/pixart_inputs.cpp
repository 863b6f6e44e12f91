// What the cases of PixArt share: text lengths, picture sizes, and the objective, which its config_json does
// not name.

#include "cases.hpp"

namespace tessera::parity {

std::vector<std::int64_t> pixart_lengths(const Fixture& fixture) {
  const Shape shape = fixture.shape("inputs/mask");
  const std::vector<std::int32_t> mask = fixture.integers("inputs/mask");
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(shape[0]), 0);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const auto position = static_cast<std::int64_t>(i) % shape[1];
    std::int64_t& length = lengths[i / static_cast<std::size_t>(shape[1])];
    if (mask[i] != 0 && position != length) {
      throw Error("a text mask has a gap, so it is no length", fixture.path());
    }
    length += mask[i] != 0 ? 1 : 0;
  }
  return lengths;
}

PictureFacts pixart_facts(const Fixture& fixture) {
  PictureFacts facts;
  if (!fixture.has("inputs/img_hw")) return facts;
  const std::vector<double> sizes = fixture.values("inputs/img_hw");
  for (std::size_t i = 0; i < sizes.size(); i += 2) {
    facts.height.push_back(sizes[i]);
    facts.width.push_back(sizes[i + 1]);
  }
  facts.aspect = fixture.values("inputs/aspect_ratio");
  return facts;
}

std::unique_ptr<Objective> pixart_objective(const ReferenceModel& model, std::int64_t guided_channels) {
  ConfigTree tree;
  tree.set("objective.name", FieldValue(std::string("iddpm")));
  tree.set("objective.guided_channels", FieldValue(guided_channels));
  Assembly assembly(model.assembly->registry(), tree);
  return assembly.make<Objective>("objective", {});
}

}  // namespace tessera::parity
