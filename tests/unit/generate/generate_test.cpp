// What a picture depends on, and what it does not.

#include "generate/generate.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "io/resize.hpp"
#include "unit/generate/small_model.hpp"

namespace tessera::generate {
namespace {

/// Rounding may move a pixel by one level of 256.
constexpr int one_level = 1;

TEST(Generate, the_batch_changes_no_picture) {
  SmallModel model;
  Request request = model.request();
  const auto reference = generate(model.components.backbone(), model.components, request);
  ASSERT_EQ(reference.size(), 10U);
  for (const std::int64_t batch : {1, 3, 10}) {
    request.batch = batch;
    const auto pictures = generate(model.components.backbone(), model.components, request);
    ASSERT_EQ(pictures.size(), 10U);
    for (std::size_t i = 0; i < 10; ++i) {
      EXPECT_LE(difference(pictures[i].image, reference[i].image), one_level) << "batch " << batch;
      EXPECT_EQ(pictures[i].prompt, request.prompts[i / 2]);
      EXPECT_EQ(pictures[i].number, static_cast<std::int64_t>(i % 2));
    }
  }
}

TEST(Generate, prompt_place_number_seed_and_guidance_matter) {
  SmallModel model;
  Request request = model.request();
  const auto pictures = generate(model.components.backbone(), model.components, request);
  EXPECT_GT(difference(pictures[0].image, pictures[1].image), 20) << "two pictures of one prompt";
  EXPECT_GT(difference(pictures[0].image, pictures[6].image), 20) << "one prompt in two places";

  // other words, same noise
  request.prompts[0] = "purple heart";
  const auto other = generate(model.components.backbone(), model.components, request);
  EXPECT_GT(difference(pictures[0].image, other[0].image), 2);
  EXPECT_LE(difference(pictures[2].image, other[2].image), one_level) << "a neighbour's prompt";

  request = model.request();
  request.guidance = 1;
  EXPECT_GT(difference(generate(model.components.backbone(), model.components, request)[0].image,
                       pictures[0].image),
            2);
  request = model.request();
  request.seed = 4;
  EXPECT_GT(difference(generate(model.components.backbone(), model.components, request)[0].image,
                       pictures[0].image),
            20);
}

TEST(Generate, one_picture_a_prompt_is_the_first_of_several) {
  SmallModel model;
  Request request = model.request();
  const auto two = generate(model.components.backbone(), model.components, request);
  request.per_prompt = 1;
  const auto one = generate(model.components.backbone(), model.components, request);
  ASSERT_EQ(one.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_LE(difference(one[i].image, two[2 * i].image), one_level);
}

TEST(Generate, every_prompt_may_have_a_shape_of_its_own) {
  SmallModel model;
  Request request = model.request();
  request.sizes = {{8, 8, 1.0}, {8, 16, 0.5}, {16, 8, 2.0}};  // five prompts: in turn
  const auto pictures = generate(model.components.backbone(), model.components, request);
  ASSERT_EQ(pictures.size(), 10U);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const PictureSize& size = request.sizes[i / 2 % 3];
    EXPECT_EQ(pictures[i].image.height, size.height) << i;
    EXPECT_EQ(pictures[i].image.width, size.width) << i;
    EXPECT_EQ(pictures[i].prompt, request.prompts[i / 2]);
    EXPECT_EQ(pictures[i].number, static_cast<std::int64_t>(i % 2));
  }
  // Which others are drawn, and in which batches, changes nothing.
  request.batch = 1;
  const auto single = generate(model.components.backbone(), model.components, request);
  request.sizes = {request.sizes[1]};
  const auto wide = generate(model.components.backbone(), model.components, request);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    EXPECT_LE(difference(single[i].image, pictures[i].image), one_level) << i;
    if (i / 2 % 3 == 1) {
      EXPECT_LE(difference(wide[i].image, pictures[i].image), one_level) << i;
    }
  }
  const io::Image grid = grid_of(pictures);
  EXPECT_GT(grid.height, grid.width);  // two across, five down
}

TEST(Generate, aspects_become_the_nearest_buckets) {
  SmallModel model;  // patches of 2 pixels
  const auto sizes = bucket_sizes(model.components, 64, {0.5, 1.0, 2.0, 0.01});
  ASSERT_EQ(sizes.size(), 4U);
  EXPECT_EQ(sizes[0], (PictureSize{44, 88, 0.5}));  // 704 x 1408 of the published table, at a sixteenth
  EXPECT_EQ(sizes[1], (PictureSize{64, 64, 1.0}));
  EXPECT_EQ(sizes[2], (PictureSize{88, 44, 2.0}));
  EXPECT_EQ(sizes[3], (PictureSize{32, 128, 0.25}));
  EXPECT_TRUE(bucket_sizes(model.components, 64, {}).empty());
  EXPECT_THROW((void)bucket_sizes(model.components, 7, {1.0}), Error);
}

TEST(Generate, the_model_is_told_size_and_aspect) {
  SmallModel model({"model.backbone.width=48", "model.patch_mixer.width=48",
                    "model.auxiliary={name=\"size-aspect\", frequencies=8}"});
  Request request = model.request();
  request.prompts.resize(1);
  const auto drawn = [&](const PictureSize& size) {
    request.sizes = {size};
    return generate(model.components.backbone(), model.components, request)[0].image;
  };
  EXPECT_GT(difference(drawn({8, 16, 0.5}), drawn({8, 16, 1.0})), 2);
  request.sizes.clear();
  EXPECT_EQ(generate(model.components.backbone(), model.components, request)[0].image, drawn({8, 8, 1.0}));
}

TEST(Generate, impossible_requests_are_errors) {
  SmallModel model;
  Request request = model.request();
  request.resolution = 7;
  EXPECT_THROW(static_cast<void>(generate(model.components.backbone(), model.components, request)), Error);
  request = model.request();
  request.sizes = {{8, 8, 1.0}, {8, 7, 1.14}};
  EXPECT_THROW(static_cast<void>(generate(model.components.backbone(), model.components, request)), Error);
  request = model.request();
  request.prompts.clear();
  EXPECT_THROW(static_cast<void>(generate(model.components.backbone(), model.components, request)), Error);
  request = model.request();
  for (const nn::ParameterSlot& slot : model.store.slots()) {
    if (slot.name != "final_layer.linear.bias") continue;
    const std::vector<float> broken(static_cast<std::size_t>(slot.count), NAN);
    model.store.view(model.store.values(), slot).copy_from_host(broken.data());
  }
  EXPECT_THROW(static_cast<void>(generate(model.components.backbone(), model.components, request)), Error);
}

/// A picture with edges, of another size than the samples.
io::Image with_edges(int column) {
  io::Image picture(24, 24);
  io::paste(picture, io::Image(6, 12, {200, 0, 0}), column, 6);
  return picture;
}

TEST(Generate, pictures_follow_the_control_maps_in_turn) {
  SmallModel model({"model.adapter={name=\"controlnet\"}", "control={name=\"canny\"}"});
  Request request = model.request();
  const auto draw = [&] { return generate(model.components.backbone(), model.components, request); };
  const auto free = draw();
  request.controls = {with_edges(3), with_edges(12)};
  const auto controlled = draw();
  EXPECT_GT(difference(controlled[0].image, free[0].image), 5);
  request.controls = {with_edges(3)};
  const auto first = draw();
  EXPECT_LE(difference(first[0].image, controlled[0].image), one_level);
  EXPECT_GT(difference(first[2].image, controlled[2].image), 2) << "the second prompt has the second map";
  EXPECT_LE(difference(first[4].image, controlled[4].image), one_level) << "the third the first again";

  request.controls = {model.components.control()->extract(io::resize_and_crop(with_edges(3), {8, 8}))};
  request.controls_are_maps = true;
  const auto mapped = draw();
  for (std::size_t i = 0; i < mapped.size(); ++i) {
    EXPECT_EQ(mapped[i].image, first[i].image);
  }
}

TEST(Generate, without_a_map_the_adapter_changes_nothing) {
  SmallModel model({"model.adapter={name=\"controlnet\"}", "control={name=\"canny\"}"});
  SmallModel base;
  for (const nn::ParameterSlot& slot : base.store.slots()) {
    base.store.view(base.store.values(), slot)
        .copy_from(model.store.view(model.store.values(), model.store.slot(slot.name)));
  }
  const auto with = generate(model.components.backbone(), model.components, model.request());
  const auto without = generate(base.components.backbone(), base.components, base.request());
  for (std::size_t i = 0; i < with.size(); ++i) EXPECT_EQ(with[i].image, without[i].image);

  Request request = base.request();
  request.controls = {with_edges(3)};
  EXPECT_THROW((void)generate(base.components.backbone(), base.components, request), Error);
  EXPECT_THROW(SmallModel({"model.adapter={name=\"controlnet\"}"}), Error);  // which maps?
}

TEST(Generate, the_grid_has_a_row_a_prompt) {
  std::vector<Picture> pictures;
  for (int i = 0; i < 6; ++i) pictures.push_back({"red heart", i / 3, i % 3, io::Image(8, 8)});
  const io::Image rows = grid_of(pictures);
  EXPECT_GT(rows.width, rows.height);  // three across, two down
  for (Picture& picture : pictures) picture.number = 0;
  EXPECT_FALSE(grid_of(pictures, "title").empty());
}

}  // namespace
}  // namespace tessera::generate
