// Sizes, aspect ratios and class labels beside the noise level.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/model/models.hpp"

namespace tessera {
namespace {

using test::random_tensor;
using test::to_doubles;

/// An auxiliary conditioner by itself, of width 12.
struct Conditioner {
  explicit Conditioner(const std::string& table, const char* precision = "float64", std::int64_t width = 12)
      : assembly(test::registry(), ConfigTree::parse("[auxiliary]\n" + table, "test")),
        part(assembly.make<AuxiliaryConditioner>("auxiliary", {.width = width})),
        store(*part) {
    store.materialise(nn::Precision::named(precision));
    store.values().copy_from(random_tensor({store.arena_elements()}, store.precision().parameter, 5));
  }
  Assembly assembly;
  std::unique_ptr<AuxiliaryConditioner> part;
  nn::ParameterStore store;
};

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(SizeAspect, HeightWidthAspectInThirds) {
  const Conditioner size("name = \"size-aspect\"");
  const auto vector = [&](double height, double width, double aspect) {
    PictureFacts facts;
    facts.height = {700, height};
    facts.width = {900, width};
    facts.aspect = {0.5, aspect};
    const ops::Variable all = size.part->forward(facts);
    EXPECT_TRUE((all.shape() == Shape{2, 12}));
    return to_doubles(all.value().slice(1, 2));
  };
  const auto third = [](const std::vector<double>& all, int part) {
    return std::vector<double>(all.begin() + 4 * part, all.begin() + 4 * (part + 1));
  };
  const std::vector<double> base = vector(512, 768, 1.5);
  const std::vector<double> turned = vector(768, 512, 1.5);
  EXPECT_EQ(third(base, 0), third(turned, 1));  // height and width share an embedding
  EXPECT_EQ(third(base, 1), third(turned, 0));
  EXPECT_NE(third(base, 0), third(base, 1));
  EXPECT_EQ(third(base, 2), third(turned, 2));
  EXPECT_NE(third(vector(512, 768, 1.0), 2), third(base, 2));
  EXPECT_NE(third(vector(1.5, 768, 1.5), 0), third(base, 2));  // the ratio has an embedding of its own
  EXPECT_EQ(size.part->classes(), 0);
  EXPECT_THROW((void)size.part->label_of("cat"), Error);
}

TEST(SizeAspect, Errors) {
  const Conditioner size("name = \"size-aspect\"");
  PictureFacts facts;
  EXPECT_THROW((void)size.part->forward(facts), Error);
  facts.height = {512, 512};
  facts.width = {512};
  facts.aspect = {1, 1};
  EXPECT_THROW((void)size.part->forward(facts), Error);
  EXPECT_THROW(Conditioner("name = \"size-aspect\"", "float64", 16), Error);  // 3 does not divide the width
}

TEST(ClassLabel, RowsOfTheTableAndTheLastForNoLabel) {
  for (const char* precision : {"float64", "float32", "bfloat16"}) {
    const Conditioner label("name = \"class-label\"\nclasses = 5", precision);
    const Tensor table =
        label.store.view(label.store.values(), label.store.slot("y_embedder.embedding_table.weight"));
    PictureFacts facts;
    facts.label = {4, PictureFacts::no_label, 0, 4};
    const ops::Variable vectors = label.part->forward(facts);
    const std::int64_t rows[] = {4, 5, 0, 4};
    for (std::int64_t i = 0; i < 4; ++i) {
      EXPECT_EQ(to_doubles(vectors.value().slice(i, i + 1)), to_doubles(table.slice(rows[i], rows[i] + 1)));
    }
    EXPECT_EQ(label.part->classes(), 5);
  }
}

TEST(ClassLabel, Prompts) {
  const Conditioner numbered("name = \"class-label\"\nclasses = 5");
  EXPECT_EQ(numbered.part->label_of("0"), 0);
  EXPECT_EQ(numbered.part->label_of("4"), 4);
  for (const char* bad : {"5", "-1", "1.0", "4 ", "", "cat", "99999999999999999999"}) {
    EXPECT_THROW((void)numbered.part->label_of(bad), Error) << bad;
  }
  const Conditioner named(
      "name = \"class-label\"\nclasses = 3\nnames = [\"cat\", \"golden retriever\", \"0\"]");
  EXPECT_EQ(named.part->label_of("golden retriever"), 1);
  EXPECT_EQ(named.part->label_of("0"), 2);  // a name before a number
  EXPECT_EQ(named.part->label_of("1"), 1);
  EXPECT_THAT(message_of([&] { (void)named.part->label_of("golden retreiver"); }),
              testing::HasSubstr("did you mean 'golden retriever'?"));
  EXPECT_THAT(message_of([&] { (void)named.part->label_of("7"); }), testing::HasSubstr("from 0 to 2"));
}

TEST(ClassLabel, Errors) {
  const Conditioner label("name = \"class-label\"\nclasses = 5");
  const auto with = [&](std::vector<std::int64_t> labels) {
    PictureFacts facts;
    facts.label = std::move(labels);
    return message_of([&] { (void)label.part->forward(facts); });
  };
  EXPECT_THAT(with({}), testing::HasSubstr("was given none"));
  EXPECT_THAT(with({0, 5}), testing::HasSubstr("the label 5, the model knows 5 classes"));
  EXPECT_THAT(with({-2}), testing::HasSubstr("the label -2"));
  EXPECT_THAT(message_of([] { Conditioner("name = \"class-label\"\nclasses = 5\nnames = [\"cat\"]"); }),
              testing::HasSubstr("1 names do not fit 5 classes"));
}

}  // namespace
}  // namespace tessera
