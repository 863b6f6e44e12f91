// The timeline of a run: all ranks, the steps that were asked for, and spans where they belong.
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "mpi/train/common_folder.hpp"
#include "mpi/train/run_checks.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;

struct Span {
  double begin, end;
  [[nodiscard]] bool inside(const Span& other) const { return begin >= other.begin && end <= other.end; }
};
using Spans = std::map<std::string, std::vector<Span>>;

/// Of one rank, by name; flights too.
Spans spans_of(const nlohmann::json& trace, int rank) {
  Spans spans;
  std::map<std::string, double> begun;
  for (const auto& event : trace) {
    if (event["pid"] != rank) continue;
    const std::string phase = event["ph"];
    if (phase == "X") {
      const double begin = event["ts"];
      spans[event["name"]].push_back({begin, begin + event["dur"].get<double>()});
    } else if (phase == "b") {
      begun[event["id"]] = event["ts"];
    } else if (phase == "e") {
      spans[event["name"]].push_back({begun.at(event["id"]), event["ts"]});
    }
  }
  return spans;
}

bool within_any(const Span& span, const std::vector<Span>& others) {
  return std::ranges::any_of(others, [&](const Span& other) { return span.inside(other); });
}

TEST(Trace, ShowsTheStepsOfEveryRank) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  EXPECT_EQ(run_tree(world, toy_configuration(folder / "data", "float32"), folder / "run", false, {},
                     {"run.trace_steps=4", "run.trace_after=3", "run.checkpoint_every=5"}),
            ExitCode::done);
  if (world.rank() != 0) return;
  std::ifstream file(folder / "run/trace.json");
  const nlohmann::json trace = nlohmann::json::parse(file);
  for (int rank = 0; rank < world.size(); ++rank) {
    const Spans spans = spans_of(trace, rank);
    ASSERT_EQ(spans.at("step").size(), 4U);
    ASSERT_EQ(spans.at("optimizer").size(), 4U);
    ASSERT_EQ(spans.at("checkpoint").size(), 1U);  // after step 5, between two of steps 4 to 7
    EXPECT_GE(spans.at("checkpoint")[0].begin, spans.at("step")[1].end);
    EXPECT_LE(spans.at("checkpoint")[0].end, spans.at("step")[2].begin);
    EXPECT_EQ(spans.at("forward").size(), spans.at("backward").size());
    EXPECT_EQ(spans.at("forward").size(), spans.at("wait for data").size());
    EXPECT_TRUE(spans.contains("read micro-batch"));
    for (const char* name : {"forward", "backward", "optimizer", "wait for data", "finish sums", "publish"}) {
      for (const Span& span : spans.at(name)) EXPECT_TRUE(within_any(span, spans.at("step"))) << name;
    }
    for (std::size_t i = 0; i < spans.at("forward").size(); ++i) {
      EXPECT_LE(spans.at("forward")[i].end, spans.at("backward")[i].begin);
    }
    // Sums begin in backward, and end in their step.
    const bool common = spans.contains("sum parameter");
    const std::vector<Span>& sums = spans.at(common ? "sum parameter" : "reduce bucket");
    bool overlaps = world.size() == 1;
    for (const Span& sum : sums) {
      EXPECT_TRUE(within_any(sum, spans.at("step")));
      overlaps = overlaps || within_any({sum.begin, sum.begin}, spans.at("backward"));
    }
    EXPECT_TRUE(overlaps);
  }
}

TEST(Trace, OfARunThatIsShorterHoldsWhatThereWas) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const std::vector<std::string> few{"run.trace_steps=100", "run.trace_after=0", "stage.0.steps=6",
                                     "stage.1.steps=1"};
  EXPECT_EQ(run_tree(world, toy_configuration(folder / "data", "float32"), folder / "run", false, {}, few),
            ExitCode::done);
  if (world.rank() != 0) return;
  std::ifstream file(folder / "run/trace.json");
  const nlohmann::json trace = nlohmann::json::parse(file);
  EXPECT_EQ(spans_of(trace, world.size() - 1).at("step").size(), 7U);
}

TEST(Trace, IsNotThereUnlessAskedFor) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  EXPECT_EQ(run_tree(world, toy_configuration(folder / "data", "float32"), folder / "run", false, {},
                     {"stage.0.steps=6", "stage.1.steps=1"}),
            ExitCode::done);
  EXPECT_FALSE(std::filesystem::exists(folder / "run/trace.json"));
}

}  // namespace
}  // namespace tessera::test
