// The statistics of small sets whose numbers are counted by hand, from every kind of input.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "data/shard_writer.hpp"
#include "datasets/concepts/caption_inputs.hpp"
#include "datasets/concepts/report.hpp"
#include "io/file.hpp"
#include "unit/io/temporary_folder.hpp"

namespace tessera::datasets::concepts {
namespace {

using testing::HasSubstr;

NounFinder& finder() {
  static const WordNet wordnet;
  static NounFinder shared(wordnet);
  return shared;
}

ConceptStatistics counted(const CaptionInput& input, std::uint64_t valid_above = 10) {
  ConceptStatistics statistics(finder(), valid_above);
  count_captions(input, statistics);
  return statistics;
}

std::string message(const CaptionInput& input) {
  try {
    (void)counted(input);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Histogram, mean_and_median_are_exact) {
  Histogram values;
  EXPECT_EQ(values.median(), 0);
  EXPECT_EQ(values.mean(), 0);
  for (const std::uint64_t value : {5U, 1U, 100000U, 2U}) values.add(value);
  EXPECT_EQ(values.median(), 3.5);
  EXPECT_EQ(values.mean(), 25002);
  values.add(70000);
  EXPECT_EQ(values.median(), 5);
  EXPECT_EQ(values.greatest(), 100000U);
  values.add(70000);
  values.add(70000);
  EXPECT_EQ(values.median(), 70000);
  EXPECT_EQ(values.total(), 310008U);
}

TEST(Concepts, a_small_set_counted_by_hand) {
  // 12 images with a dog, 10 with a cat; every sixth image has a second caption.
  ConceptStatistics statistics(finder());
  for (int i = 0; i < 12; ++i) {
    statistics.add_image();
    statistics.add_caption(i < 10 ? "A dog and a cat." : "a dog");  // 5 or 2 words, 16 or 5 characters
    if (i % 6 == 0) statistics.add_caption("the moon \u2014 big");  // 4 words, 14 characters
  }
  EXPECT_EQ(statistics.images(), 12U);
  EXPECT_EQ(statistics.captions(), 14U);
  EXPECT_EQ(statistics.words().total(), 10U * 5 + 2 * 2 + 2 * 4);
  EXPECT_EQ(statistics.words().median(), 5);
  EXPECT_EQ(statistics.characters().total(), 10U * 16 + 2 * 5 + 2 * 14);
  EXPECT_EQ(statistics.nouns(), 12U + 10 + 2);
  EXPECT_DOUBLE_EQ(statistics.nouns_per_image(), 2.0);
  EXPECT_DOUBLE_EQ(statistics.nouns_per_caption(), 24.0 / 14);
  EXPECT_EQ(statistics.distinct_nouns(), 3U);
  EXPECT_EQ(statistics.valid_nouns(), 1U) << "10 cats are not more than 10";
  EXPECT_DOUBLE_EQ(statistics.valid_share(), 1.0 / 3);
  const auto top = statistics.top(2);
  ASSERT_EQ(top.size(), 2U);
  EXPECT_EQ(top[0].noun, "dog");
  EXPECT_EQ(top[0].count, 12U);
  EXPECT_EQ(top[1].noun, "cat");
  EXPECT_EQ(statistics.top(100).size(), 3U);
}

TEST(Concepts, statistics_that_share_a_finder_do_not_mix) {
  ConceptStatistics one(finder()), two(finder());
  one.add_caption("a zebra");
  two.add_caption("a giraffe and a zebra");
  EXPECT_EQ(one.distinct_nouns(), 1U);
  EXPECT_EQ(two.distinct_nouns(), 2U);
  EXPECT_EQ(one.top(9).size(), 1U);
}

TEST(Concepts, captions_files_are_read_by_field) {
  const test::TemporaryFolder folder;
  io::replace_file(
      folder / "captions.csv",
      "image,caption,dense\na.png,a dog,\"a dog,\na cat and\na bird\"\na.png,a cat,x\nb.png,,a tree\n"
      "a.png,a dog,a dog\n");
  const ConceptStatistics plain = counted({folder.path()});
  EXPECT_EQ(plain.images(), 3U) << "rows of one image that follow each other are one image";
  EXPECT_EQ(plain.captions(), 4U);
  EXPECT_EQ(plain.nouns(), 3U);
  const ConceptStatistics dense = counted({folder / "captions.csv", "dense"}, 1);
  EXPECT_EQ(dense.nouns(), 5U);
  EXPECT_EQ(dense.distinct_nouns(), 4U);
  EXPECT_EQ(dense.valid_nouns(), 1U);
  EXPECT_THAT(message({folder.path(), "dens"}), HasSubstr("no column 'dens'"));

  io::replace_file(folder / "c.jsonl",
                   "{\"image\": \"a\", \"caption\": \"a dog\\u0000cat\", \"dense_caption\": \"two dogs\"}\n");
  EXPECT_EQ(counted({folder / "c.jsonl", "caption"}).nouns(), 2U);
  EXPECT_EQ(counted({folder / "c.jsonl", "dense_caption"}).nouns(), 1U);
  EXPECT_THAT(message({folder / "c.jsonl", "other"}), HasSubstr("c.jsonl:1"));
  EXPECT_THAT(message({folder / "none.csv"}), HasSubstr("none.csv"));
}

TEST(Concepts, a_folder_without_captions_says_so) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(message({folder.path()}), HasSubstr("neither shards"));
}

class ConceptShards : public testing::Test {
 protected:
  data::Record record(const std::string& id, const std::vector<std::string>& captions) const {
    data::Record made;
    made.id = id;
    made.width = made.height = 1;
    made.latents.push_back({{1, 1}, {0.0F}});
    for (const std::string& caption : captions) made.captions.push_back({caption, 0, {0.0F}});
    return made;
  }
  void shard(const std::string& name, const std::vector<data::Record>& records) const {
    data::ShardHeader header;
    header.codec = "pixel";
    header.text_encoder = "word-hash";
    header.channels = 1;
    header.resolutions = {1};
    header.caption_length = header.caption_width = 1;
    data::ShardWriter writer(folder_ / name, header);
    for (const data::Record& each : records) writer.add(each);
    writer.finish();
  }
  test::TemporaryFolder folder_;
};

TEST_F(ConceptShards, captions_are_counted_for_each_image_once) {
  shard("shard-00000-of-00002.h5",
        {record("a.png", {"a dog", "a dog beside a cat"}), record("b.png", {"two trees", "a forest"}),
         record("b.png#2", {"two trees", "a forest"})});  // written twice, to be drawn more often
  shard("shard-00001-of-00002.h5", {record("b.png#3", {"two trees", "a forest"}),
                                    record("b.png#7", {"a house", "a bird"}),  // another row
                                    record("c#x", {"a lake", "a sea"}), record("c", {"a lake", "a sea"})});
  const ConceptStatistics all = counted({folder_.path()});
  EXPECT_EQ(all.images(), 4U);
  EXPECT_EQ(all.captions(), 10U);
  EXPECT_EQ(all.nouns(), 1U + 2 + 1 + 1 + 1 + 1 + 4);
  const ConceptStatistics second = counted({folder_.path(), "", 2});
  EXPECT_EQ(second.captions(), 5U);
  EXPECT_EQ(second.nouns(), 2U + 1 + 1 + 2);
  EXPECT_EQ(counted({folder_ / "shard-00000-of-00002.h5", "", 1}).nouns(), 2U);
  EXPECT_THAT(message({folder_.path(), "", 3}), HasSubstr("has 2 captions"));
}

TEST(Concepts, the_report_is_json_whatever_the_captions_hold) {
  ConceptStatistics statistics(finder());
  statistics.add_image();
  statistics.add_caption("a dog \xFF \"quoted\"");
  const std::vector<NamedStatistics> sets{{"bad \xFF name", std::move(statistics)}};
  const auto report = nlohmann::json::parse(json_report(sets, {"/somewhere", true, 5}));
  EXPECT_EQ(report["wordnet"], "/somewhere");
  EXPECT_EQ(report["unknown_words_are_nouns"], true);
  ASSERT_EQ(report["data_sets"].size(), 1U);
  const auto& set = report["data_sets"][0];
  EXPECT_EQ(set["images"], 1);
  EXPECT_EQ(set["nouns"], 1);
  EXPECT_EQ(set["words"]["mean"], 4.0);
  EXPECT_EQ(set["valid_above"], 10);
  EXPECT_EQ(set["top"], nlohmann::json::parse(R"([{"noun": "dog", "count": 1}])"));
}

}  // namespace
}  // namespace tessera::datasets::concepts
