// Composed emoji: order of the parts, shapes, what is held out, and the same pictures from the same seed.
#include "datasets/emoji/composed_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/error.hpp"
#include "datasets/emoji/lists.hpp"

namespace tessera::datasets::emoji {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const EmojiSource& shapes() {
  static const EmojiSource source{Options{.subset = "shapes", .square = true}};
  return source;
}

std::vector<std::string> parts_of(std::string caption, const std::string& joint) {
  std::vector<std::string> parts;
  for (std::size_t at; (at = caption.find(joint)) != std::string::npos; caption.erase(0, at + joint.size()))
    parts.push_back(caption.substr(0, at));
  parts.push_back(caption);
  return parts;
}

std::vector<std::string> parts_of(const Picture& picture) {
  const bool column = picture.subgroup.find("column") != std::string::npos;
  return parts_of(picture.caption, column ? " above " : " and ");
}

std::size_t index_of(const Source& source, const std::string& caption) {
  for (std::size_t i = 0; i < source.size(); ++i)
    if (source.picture(i).caption == caption) return i;
  throw Error("no picture '" + caption + "'");
}

io::Image cut(const io::Image& image, int left, int top, int side) {
  io::Image piece(side, side);
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) std::copy_n(image.at(left + x, top + y), 3, piece.at(x, y));
  return piece;
}

bool is_white(const io::Image& image) {
  return std::all_of(image.pixels.begin(), image.pixels.end(), [](std::uint8_t v) { return v == 255; });
}

TEST(ComposedSource, parts_stand_in_the_order_of_the_caption) {
  const ComposedSource source(shapes(), {.count = 60, .singles = false});
  std::map<std::string, int> arrangements;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const Picture& about = source.picture(i);
    ++arrangements[about.subgroup];
    const std::vector<std::string> parts = parts_of(about);
    const bool column = about.subgroup.find("column") != std::string::npos;
    const bool square = about.subgroup.find("square") == 0;
    ASSERT_EQ(parts.size(), about.subgroup.find("three") != std::string::npos ? 3U : 2U) << about.caption;
    const io::Image picture = source.load(i);
    ASSERT_EQ(picture.size(), (io::ImageSize{about.original_width, about.original_height}));
    io::Image rest = picture;
    for (std::size_t k = 0; k < parts.size(); ++k) {
      // Cells of 152 pixels, the emoji's 128 in their middle; rows from the left, columns from the top.
      const int along = static_cast<int>(k) * 152 + 12;
      const int across = square ? 88 : 12;
      const int left = column ? across : along, top = column ? along : across;
      EXPECT_EQ(cut(picture, left, top, 128), shapes().load(index_of(shapes(), parts[k]))) << about.caption;
      io::paste(rest, io::Image(128, 128), left, top);
    }
    EXPECT_TRUE(is_white(rest)) << about.caption;
  }
  EXPECT_EQ(arrangements.size(), 6U);
}

TEST(ComposedSource, red_heart_and_something_green_is_red_on_the_left) {
  // the caption's own words, against the pixels
  const ComposedSource source(shapes(), {.count = 3000, .singles = false});
  const auto find = [&](const std::string& arrangement, const std::string& first, const std::string& last) {
    std::size_t i = 0;
    const auto fits = [&](const Picture& picture) {
      const std::vector<std::string> parts = parts_of(picture);
      return picture.subgroup == arrangement && parts.front().starts_with(first) &&
             parts.back().starts_with(last);
    };
    while (!fits(source.picture(i))) ++i;
    return source.load(i);
  };
  const auto is = [](const io::Image& image, int channel) {
    double sum = 0;
    for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
      const std::uint8_t* p = image.pixels.data() + i;
      sum += p[channel] - std::max(p[(channel + 1) % 3], p[(channel + 2) % 3]);
    }
    return sum > 0;
  };
  const io::Image wide = find("row of two", "red heart", "green ");
  EXPECT_GT(wide.width, wide.height);
  EXPECT_TRUE(is(cut(wide, 0, 0, 152), 0));
  EXPECT_TRUE(is(cut(wide, 152, 0, 152), 1));
  const io::Image tall = find("column of two", "green ", "red heart");
  EXPECT_GT(tall.height, tall.width);
  EXPECT_TRUE(is(cut(tall, 0, 0, 152), 1));
  EXPECT_TRUE(is(cut(tall, 0, 152, 152), 0));
  const io::Image row = find("row of three", "blue ", "red circle");
  EXPECT_TRUE(is(cut(row, 0, 0, 152), 2));
  EXPECT_TRUE(is(cut(row, 304, 0, 152), 0));
}

TEST(ComposedSource, shapes_are_one_two_and_three_to_one) {
  const ComposedSource source(shapes(), {.count = 600, .singles = false});
  std::map<std::pair<int, int>, int> sizes;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const Picture& picture = source.picture(i);
    if (!picture.held_out) ++sizes[{picture.original_width / 152, picture.original_height / 152}];
  }
  EXPECT_EQ(sizes, (std::map<std::pair<int, int>, int>{
                       {{2, 1}, 100}, {{1, 2}, 100}, {{3, 1}, 100}, {{1, 3}, 100}, {{2, 2}, 200}}));
}

TEST(ComposedSource, held_out_pairs_and_emoji_are_never_trained) {
  ASSERT_GE(held_out_pairs().size(), 16U);
  std::set<std::set<std::string>> pairs;
  for (const auto& [a, b] : held_out_pairs()) pairs.insert({a, b});
  EXPECT_EQ(pairs.size(), held_out_pairs().size());
  for (const char* subset : {"shapes", "quickstart"}) {
    const EmojiSource emoji{Options{.subset = subset, .square = true}};
    const ComposedSource source(emoji, {.count = 4000});
    ASSERT_EQ(source.size(), emoji.size() + 4000 + 8 * pairs.size());  // two orders, four arrangements
    std::map<std::string, int> trained_in_pairs;
    std::set<std::string> trained_alone, ids;
    std::size_t held_out = 0;
    for (std::size_t i = 0; i < source.size(); ++i) {
      const Picture& picture = source.picture(i);
      EXPECT_TRUE(ids.insert(picture.id).second) << picture.id;
      if (i < emoji.size()) {
        EXPECT_EQ(picture.id, emoji.picture(i).id);
        if (!picture.held_out) trained_alone.insert(picture.caption);
        continue;
      }
      EXPECT_EQ(picture.group, "composed");
      const std::vector<std::string> parts = parts_of(picture);
      bool holds_pair = false;
      for (const std::string& a : parts) {
        EXPECT_FALSE(held_out_captions().contains(a)) << picture.caption;
        for (const std::string& b : parts) holds_pair = holds_pair || pairs.contains({a, b});
        if (!picture.held_out) ++trained_in_pairs[a];
      }
      EXPECT_EQ(std::set(parts.begin(), parts.end()).size(), parts.size()) << picture.caption;
      EXPECT_EQ(holds_pair, picture.held_out) << picture.caption;
      held_out += picture.held_out;
    }
    EXPECT_EQ(held_out, 8 * pairs.size());
    for (const auto& [a, b] : held_out_pairs()) {
      for (const std::string& part : {a, b}) {
        EXPECT_TRUE(trained_alone.contains(part)) << subset << ": " << part;
        EXPECT_GE(trained_in_pairs[part], 20) << subset << ": " << part;
      }
    }
  }
}

TEST(ComposedSource, the_seed_decides_and_pictures_differ) {
  const auto captions = [](std::uint64_t seed, std::size_t count) {
    const ComposedSource source(shapes(), {.count = count, .seed = seed, .singles = false});
    std::vector<std::string> list;
    for (std::size_t i = 0; i < source.size(); ++i)
      if (!source.picture(i).held_out) list.push_back(source.picture(i).caption + source.picture(i).subgroup);
    return list;
  };
  EXPECT_EQ(captions(1, 500), captions(1, 500));
  EXPECT_NE(captions(1, 500), captions(2, 500));
  std::vector<std::string> more = captions(1, 900);
  EXPECT_EQ(std::set(more.begin(), more.end()).size(), 900U);
  more.resize(500);
  EXPECT_EQ(more, captions(1, 500));  // a larger set begins with the smaller one
}

TEST(ComposedSource, captions_have_one_reading) {
  const EmojiSource all{Options{.square = true}};
  const ComposedSource source(all, {.count = 3000, .singles = false});
  for (std::size_t i = 0; i < source.size(); ++i) {
    const Picture& picture = source.picture(i);
    EXPECT_EQ(picture.caption.find(','), std::string::npos);
    const bool column = picture.subgroup.find("column") != std::string::npos;
    EXPECT_EQ(picture.caption.find(column ? " and " : " above "), std::string::npos) << picture.caption;
    EXPECT_EQ(parts_of(picture).size(), picture.subgroup.find("three") != std::string::npos ? 3U : 2U);
  }
}

TEST(ComposedSource, refuses_more_than_there_is) {
  try {
    const ComposedSource source(shapes(), {.count = 1'000'000});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("1000000"), HasSubstr("45 emoji"), HasSubstr("Remedy:")));
  }
}

TEST(EmojiSource, square_pictures_are_the_middle_of_the_bitmaps) {
  const EmojiSource plain{Options{.subset = "shapes"}};
  for (const std::size_t i : {std::size_t{0}, shapes().size() - 1}) {
    EXPECT_EQ(shapes().picture(i).original_width, 128);
    EXPECT_EQ(shapes().picture(i).original_height, 128);
    EXPECT_EQ(shapes().load(i), cut(plain.load(i), 4, 0, 128));
  }
}

}  // namespace
}  // namespace tessera::datasets::emoji
