// Auxiliary conditioner "class-label": a table with one row per class, and a last one for "no label" (DiT).

#include <algorithm>
#include <charconv>

#include "base/error.hpp"
#include "ops/rows.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/auxiliary_conditioner.hpp"

namespace tessera {
namespace {

class ClassLabel : public AuxiliaryConditioner {
 public:
  ClassLabel(const Config& config, const Spec& spec)
      : classes_(config.get<std::int64_t>("classes")),
        names_(config.get<std::vector<std::string>>("names")),
        table_(declare("y_embedder.embedding_table.weight", {classes_ + 1, spec.width},
                       nn::Initializer::normal(0.02), {.exact = true})) {
    const auto named = static_cast<std::int64_t>(names_.size());
    if (named != 0 && named != classes_) {
      throw Error(std::to_string(named) + " names do not fit " + std::to_string(classes_) + " classes",
                  config.where("names"), "name every class in the order of the labels, or none");
    }
  }

  ops::Variable forward(const PictureFacts& facts) const override {
    if (facts.label.empty()) {
      throw Error("the model reads the class of every picture, but was given none", "class-label",
                  "give a label for each picture, or use a model without [model.auxiliary]");
    }
    std::vector<std::int64_t> rows;
    for (const std::int64_t label : facts.label) {
      if (label != PictureFacts::no_label && (label < 0 || label >= classes_)) {
        throw Error("a picture has the label " + std::to_string(label) + ", the model knows " +
                        std::to_string(classes_) + " classes",
                    "class-label", "raise `classes` in [model.auxiliary], or correct the data");
      }
      rows.push_back(label == PictureFacts::no_label ? classes_ : label);
    }
    return ops::gather_rows(table_.master(), rows);
  }

  std::int64_t classes() const override { return classes_; }
  std::vector<std::string> class_names() const override { return names_; }

  std::int64_t label_of(const std::string& prompt) const override {
    const auto named = std::ranges::find(names_, prompt);
    if (named != names_.end()) return named - names_.begin();
    std::int64_t label = -1;
    const char* const end = prompt.data() + prompt.size();
    const auto [stop, problem] = std::from_chars(prompt.data(), end, label);
    if (problem == std::errc() && stop == end && label >= 0 && label < classes_) return label;
    std::string remedy = "use a number from 0 to " + std::to_string(classes_ - 1);
    if (const auto nearest = nearest_word(prompt, names_)) {
      remedy = "did you mean '" + *nearest + "'?";
    } else if (!names_.empty()) {
      remedy += " or one of the `names` in [model.auxiliary]";
    }
    throw Error("the prompt '" + prompt + "' names no class", "class-label", remedy);
  }

 private:
  std::int64_t classes_;
  std::vector<std::string> names_;
  nn::Parameter& table_;
};

void list(std::vector<Component>& out) {
  Schema schema("class-label", "A vector per class joins the noise embedding; prompts are numbers or names");
  schema.integer("classes", 1000).range(1, 10000000).help("Number of classes, \"no label\" not counted.");
  schema.strings("names", {}).help("Names of the classes, in the order of the labels, for prompts.");
  out.push_back(component<AuxiliaryConditioner>(
      std::move(schema), [](const Config& config, const AuxiliaryConditioner::Spec& spec, Assembly&) {
        return std::make_unique<ClassLabel>(config, spec);
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("class_label", "1.0", tessera::list)
