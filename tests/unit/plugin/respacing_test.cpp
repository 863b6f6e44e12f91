// Which steps a sampler of the discrete process visits.
#include "plugin/respacing.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace tessera {
namespace {

using Steps = std::vector<std::int64_t>;

Respacing respacing(const std::string& settings, std::int64_t fallback = 100) {
  Schema schema("any", "");
  Respacing::describe(schema, fallback);
  return Respacing(Config::resolve(ConfigTree::parse(settings, "run.toml"), schema));
}

TEST(Respacing, EvenSteps) {
  const Steps hundred = even_steps(1000, {100});
  ASSERT_EQ(hundred.size(), 100U);
  EXPECT_EQ(Steps(hundred.begin(), hundred.begin() + 4), (Steps{0, 10, 20, 30}));
  EXPECT_EQ(Steps(hundred.end() - 2, hundred.end()), (Steps{989, 999}));
  // 166.5 and 499.5 go to the even neighbour, as in the published code.
  EXPECT_EQ(even_steps(1000, {7}), (Steps{0, 166, 333, 500, 666, 832, 999}));
  EXPECT_EQ(even_steps(1000, {3}), (Steps{0, 500, 999}));
  Steps all(1000);
  for (std::size_t i = 0; i < 1000; ++i) all[i] = static_cast<std::int64_t>(i);
  EXPECT_EQ(even_steps(1000, {1000}), all);
  EXPECT_THROW((void)even_steps(1000, {1001}), Error);
}

TEST(Respacing, Sections) {
  EXPECT_EQ(even_steps(10, {2, 1, 3}), (Steps{0, 3, 4, 7, 8, 9}));
  EXPECT_EQ(respacing("sections = [2, 3]").steps(0, 0, 999), (Steps{0, 499, 500, 750, 999}));
  EXPECT_EQ(respacing("sections = [2, 3]").default_steps(), 5);
  EXPECT_EQ(respacing("sections = [2, 3]").steps(5, 0, 999).size(), 5U);
  EXPECT_THROW((void)respacing("sections = [2, 3]").steps(6, 0, 999), Error);
  EXPECT_THROW((void)respacing("sections = [2, 600]").steps(0, 0, 999), Error);
  EXPECT_THROW((void)respacing("sections = [2, 3]\nspacing = \"stride\""), Error);
  EXPECT_THROW((void)respacing("sections = [1]"), Error);
}

TEST(Respacing, Strides) {
  EXPECT_EQ(strided_steps(1000, 5), (Steps{0, 200, 400, 600, 800}));
  EXPECT_EQ(strided_steps(1000, 50).back(), 980);
  EXPECT_EQ(strided_steps(1000, 1000).back(), 999);
  EXPECT_EQ(respacing("spacing = \"stride\"\nsteps = 5").steps(0, 0, 999).back(), 800);
  try {
    (void)strided_steps(1000, 99);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("take 100 steps"), std::string::npos) << error.what();
  }
}

TEST(Respacing, AnyPartOfTheProcess) {
  EXPECT_EQ(respacing("steps = 3").default_steps(), 3);
  EXPECT_EQ(respacing("steps = 3").steps(0, 100, 900), (Steps{100, 500, 900}));
  EXPECT_EQ(respacing("steps = 3").steps(2, 100, 900), (Steps{100, 900}));
  EXPECT_EQ(respacing("").steps(0, 0, 999), even_steps(1000, {100}));
  EXPECT_THROW((void)respacing("").steps(1, 0, 999), Error);
  EXPECT_THROW((void)respacing("steps = 1"), Error);
  EXPECT_THROW((void)respacing("spacing = \"odd\""), Error);
}

}  // namespace
}  // namespace tessera
