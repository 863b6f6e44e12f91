// Latents and caption features of another program: the arrays, the list, and the shards that come of them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/error.hpp"
#include "data/half.hpp"
#include "data/loader.hpp"
#include "data/shard_reader.hpp"
#include "datasets/features/feature_builder.hpp"
#include "datasets/features/feature_list.hpp"
#include "datasets/features/npy.hpp"
#include "io/file.hpp"
#include "plugin/assembly.hpp"

namespace tessera::datasets::features {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string failure(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// As numpy.save writes it: the header padded with blanks to 128 bytes.
std::string npy(const std::string& type, const std::string& shape, const std::string& values,
                const std::string& order = "False") {
  std::string header = "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
  header.resize(117, ' ');
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + "\n" + values;
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

TEST(Npy, reads_the_three_floats) {
  // numpy.save of [[1.5, -2, 0.25]] in each type.
  const std::string half("\x00\x3e\x00\xc0\x00\x34", 6);
  for (const std::string& file :
       {npy("<f2", "(1, 3)", half), npy("<f4", "(1, 3)", bytes_of<float>({1.5F, -2, 0.25F})),
        npy("<f8", "(1, 3)", bytes_of<double>({1.5, -2, 0.25}))}) {
    const NpyArray array = parse_npy(file, "x.npy");
    EXPECT_THAT(array.shape, ElementsAre(1, 3));
    EXPECT_THAT(array.values, ElementsAre(1.5F, -2.0F, 0.25F));
  }
  EXPECT_THAT(parse_npy(npy("<f4", "(2,)", bytes_of<float>({1, 2})), "x").shape, ElementsAre(2));
  EXPECT_TRUE(parse_npy(npy("<f4", "()", bytes_of<float>({1})), "x").shape.empty());
}

TEST(Npy, refuses_what_it_cannot_read) {
  const auto refusal = [](const std::string& file) {
    return failure([&] { (void)parse_npy(file, "x.npy"); });
  };
  const std::string good = npy("<f4", "(1, 3)", bytes_of<float>({1, 2, 3}));
  for (std::size_t length = 0; length < good.size(); ++length) {
    ASSERT_THAT(refusal(good.substr(0, length)), HasSubstr("cannot be read")) << length;
  }
  EXPECT_THAT(refusal(good + "x"), HasSubstr("13 bytes where 1 x 3 values take 12"));
  EXPECT_THAT(refusal(npy(">f4", "(1, 3)", bytes_of<float>({1, 2, 3}))), HasSubstr("'>f4'"));
  EXPECT_THAT(refusal(npy("<i4", "(1, 3)", bytes_of<float>({1, 2, 3}))), HasSubstr("'<i4'"));
  EXPECT_THAT(refusal(npy("<f4", "(1, 3)", bytes_of<float>({1, 2, 3}), "True")), HasSubstr("C order"));
  EXPECT_THAT(refusal(npy("<f4", "(-1, 3)", "")), HasSubstr("shape"));
  EXPECT_THAT(refusal(npy("<f4", "(0, 3)", "")), HasSubstr("empty"));
  EXPECT_THAT(refusal(npy("<f4", "(4294967295, 4294967295, 4294967295)", "")), HasSubstr("2^32"));
}

class FeaturesTest : public testing::Test {
 protected:
  FeaturesTest()
      : registry_(Registry::with_installed_plugins()),
        assembly_(registry_, ConfigTree::parse(R"(
          codec = { name = "precomputed", channels = 2, downsampling = 8 }
          text_encoder = { name = "precomputed", width = 3, length = 4, encoder = "t5" })",
                                               "test")) {
    codec_ = assembly_.make<Codec>("codec", {});
    text_ = assembly_.make<TextEncoder>("text_encoder", {});
    std::filesystem::create_directories(folder_);
    options_.list = folder_ / "list.jsonl";
    options_.folder = (folder_ / "shards").string();
    options_.sizes = {16};
    options_.latent_type = io::StoredType::f32;
  }
  ~FeaturesTest() override { std::filesystem::remove_all(folder_); }

  void array(const std::string& name, const std::string& shape, const std::vector<float>& values) const {
    io::replace_file((folder_ / name).string(), npy("<f4", shape, bytes_of(values)));
  }
  void list(const std::string& lines) const { io::replace_file(options_.list.string(), lines); }
  BuildReport build() const { return build_feature_shards({*codec_, *text_}, options_); }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("tessera_features_" + std::to_string(::getpid()));
  Registry registry_;
  Assembly assembly_;
  std::unique_ptr<Codec> codec_;
  std::unique_ptr<TextEncoder> text_;
  Options options_;
};

TEST_F(FeaturesTest, control_maps_lie_beside_the_latents) {
  array("a.npy", "(2, 2, 2)", {1, 2, 3, 4, 5, 6, 7, 8});
  array("a_hed.npy", "(2, 2, 2)", {8, 7, 6, 5, 4, 3, 2, 1});
  list(R"({"latents": ["a.npy"], "controls": ["a_hed.npy"]})");
  Assembly assembly(registry_, ConfigTree::parse("control = { name = \"given\", kind = \"hed\" }", "test"));
  const auto control = assembly.make<ControlMap>("control", {});
  options_.factor = 0.5;
  const BuildReport report = build_feature_shards({*codec_, *text_, control.get()}, options_);
  const auto shard = data::ShardReader::open(report.shards.at(0));
  EXPECT_EQ(shard->header().control, "given kind=hed");
  std::vector<float> values(8);
  shard->read_latent(0, 0, values.data());
  EXPECT_THAT(values, ElementsAre(0.5F, 1, 1.5F, 2, 2.5F, 3, 3.5F, 4));
  shard->read_control(0, 0, values.data());
  EXPECT_THAT(values, ElementsAre(4, 3.5F, 3, 2.5F, 2, 1.5F, 1, 0.5F));

  list(R"({"latents": ["a.npy"]})");
  options_.folder += "2";
  EXPECT_THAT(failure([&] {
                (void)build_feature_shards({*codec_, *text_, control.get()}, options_);
              }),
              HasSubstr("0 control maps for 1 latents"));
  EXPECT_EQ(data::ShardReader::open(build().shards.at(0))->header().control, "");
}

TEST_F(FeaturesTest, shards_hold_what_the_files_hold) {
  array("a.npy", "(2, 2, 2)", {1, 2, 3, 4, 5, 6, 7, 8});
  array("b.npy", "(1, 2, 2, 2)", {-1, -2, -3, -4, -5, -6, -7, -8});
  array("a_text.npy", "(1, 2, 3)", {1, 2, 3, 4, 5, 6});
  array("b_text.npy", "(4, 3)", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  list(
      R"({"latents": ["a.npy"], "caption": "a cat", "features": "a_text.npy", "width": 640, "height": 480, "subgroup": "cats"})"
      "\n\n"
      R"({"latents": ["b.npy"], "id": "b", "captions": [{"caption": "a dog", "features": "b_text.npy", "length": 3}, {"caption": "dog", "features": "a_text.npy"}], "subgroup": "dogs"})"
      "\n"
      R"({"latents": ["a.npy"], "caption": "kept", "features": "a_text.npy", "held_out": true})"
      "\n");
  options_.factor = 0.5;
  options_.threads = 3;
  const BuildReport report = build();
  EXPECT_EQ(report.pictures, 2U);
  EXPECT_EQ(report.held_out, 1U);
  const auto shard = data::ShardReader::open(report.shards.at(0));
  EXPECT_EQ(shard->header().codec, codec_->identity());
  EXPECT_EQ(shard->header().text_encoder, "precomputed encoder=t5");
  EXPECT_THAT(shard->header().subgroups, ElementsAre("cats", "dogs"));
  ASSERT_EQ(shard->records(), 2U);
  std::vector<float> latent(8);
  shard->read_latent(1, 0, latent.data());
  EXPECT_THAT(latent, ElementsAre(-0.5F, -1, -1.5F, -2, -2.5F, -3, -3.5F, -4));
  EXPECT_EQ(shard->info(0).id, "a.npy");
  EXPECT_EQ(shard->info(0).width, 640);
  EXPECT_EQ(shard->info(1).height, 16);  // of the latent's picture
  EXPECT_EQ(shard->info(1).subgroup, 1);
  std::vector<std::uint16_t> features(12);
  EXPECT_EQ(shard->read_caption(0, 0, features.data()), 2U);  // the rows that are there
  EXPECT_EQ(data::float_from_half(features[5]), 6.0F);
  EXPECT_EQ(features[6], 0U);
  EXPECT_EQ(shard->read_caption(1, 0, features.data()), 3U);
  EXPECT_EQ(data::float_from_half(features[11]), 11.0F);
  EXPECT_EQ(shard->caption_text(1, 1), "dog");
  EXPECT_EQ(data::ShardReader::open(report.held_out_shards.at(0))->caption_text(0, 0), "kept");
}

TEST_F(FeaturesTest, posteriors_are_drawn_by_the_loader) {
  array("p.npy", "(4, 2, 2)", {1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0, 0.5F, 0.5F, 0.5F, 0.5F});
  array("t.npy", "(4, 3)", std::vector<float>(12, 1));
  list(R"({"latents": ["p.npy"], "caption": "x", "features": "t.npy"})");
  options_.latent = data::LatentKind::posterior;
  const auto dataset = std::make_shared<const data::Dataset>(build().shards);
  data::Loader loader(dataset, {.resolution = 16, .global_batch = 1, .seed = 3, .downsampling = 8});
  const std::vector<float> first = loader.next().latents;
  const std::vector<float> second = loader.next().latents;
  EXPECT_THAT(std::vector<float>(first.begin(), first.begin() + 4), ElementsAre(1, 1, 1, 1));
  EXPECT_NE(first[4], 2.0F);
  EXPECT_NE(first[4], second[4]);
}

TEST_F(FeaturesTest, classes_need_no_captions) {
  array("a.npy", "(2, 2, 2)", std::vector<float>(8, 1));
  list(R"({"latents": ["a.npy"], "subgroup": "tench"})");
  const auto dataset = std::make_shared<const data::Dataset>(build().shards);
  EXPECT_EQ(dataset->header().caption_length, 0U);
  data::Loader loader(dataset, {.resolution = 16, .global_batch = 2, .downsampling = 8});
  const data::HostBatch& batch = loader.next();
  EXPECT_THAT(batch.subgroup, ElementsAre(0, 0));
  EXPECT_TRUE(batch.captions.empty());
}

TEST_F(FeaturesTest, wide_latents_need_buckets) {
  array("wide.npy", "(2, 1, 4)", std::vector<float>(8, 1));
  list(R"({"latents": ["wide.npy"], "subgroup": "x"})");
  EXPECT_THAT(failure([&] { (void)build(); }), HasSubstr("say --buckets"));
  options_.buckets = true;
  EXPECT_EQ(data::ShardReader::open(build().shards.at(0))->info(0).width, 32);
}

TEST_F(FeaturesTest, mistakes_are_told_with_their_line) {
  array("a.npy", "(2, 2, 2)", std::vector<float>(8, 1));
  array("three.npy", "(3, 2, 2)", std::vector<float>(12, 1));
  array("t.npy", "(4, 3)", std::vector<float>(12, 1));
  array("long.npy", "(5, 3)", std::vector<float>(15, 1));
  const std::string good = R"({"latents": ["a.npy"], "caption": "x", "features": "t.npy"})";
  const auto refusal = [&](const std::string& line) {
    list(good + "\n" + line + "\n");
    return failure([&] { (void)build(); });
  };
  EXPECT_THAT(refusal("{\"latents\": [\"a.npy\"]"), HasSubstr("list.jsonl:2"));
  EXPECT_THAT(refusal(R"({"latent": "a.npy"})"), HasSubstr("\"latents\" is missing"));
  EXPECT_THAT(refusal(R"({"latents": ["a.npy"], "capton": "x", "features": "t.npy"})"),
              HasSubstr("did you mean \"caption\"?"));
  EXPECT_THAT(refusal(R"({"latents": ["a.npy", "a.npy"], "caption": "x", "features": "t.npy"})"),
              HasSubstr("2 latents for 1 sizes"));
  EXPECT_THAT(refusal(R"({"latents": ["a.npy"], "caption": "x"})"), HasSubstr("without features"));
  EXPECT_THAT(refusal(R"({"latents": ["three.npy"], "caption": "x", "features": "t.npy"})"),
              HasSubstr("three.npy holds 3 x 2 x 2 values"));
  EXPECT_THAT(refusal(R"({"latents": ["a.npy"], "caption": "x", "features": "long.npy"})"),
              HasSubstr("at most 4 x 3"));
  EXPECT_THAT(refusal(R"({"latents": ["a.npy"], "caption": "x", "features": "t.npy", "length": 5})"),
              HasSubstr("\"length\" is 5"));
  EXPECT_THAT(refusal(R"({"latents": ["none.npy"], "caption": "x", "features": "t.npy"})"),
              HasSubstr("none.npy"));
  EXPECT_THAT(refusal(R"({"latents": ["a.npy"], "caption": "x", "features": "t.npy", "width": 3})"),
              HasSubstr("go together"));
  // Nothing is left behind, so that the list can be corrected and built again.
  EXPECT_FALSE(std::filesystem::exists(folder_ / "shards" / "shard-00000-of-00001.h5"));
  list(good);
  EXPECT_EQ(build().pictures, 1U);
}

}  // namespace
}  // namespace tessera::datasets::features
