// The emoji set as Debian 12 gives it: unicode-data 15.0, unicode-cldr-core 41, Noto Color Emoji 2.042.
#include "datasets/emoji/emoji_source.hpp"

#include <gtest/gtest.h>

#include <cctype>
#include <map>
#include <set>

#include "base/error.hpp"
#include "datasets/emoji/lists.hpp"
#include "io/resize.hpp"

namespace tessera::datasets::emoji {
namespace {

const EmojiSource& all() {
  static const EmojiSource source{Options{}};
  return source;
}

EmojiSource subset(const std::string& name) {
  Options options;
  options.subset = name;
  return EmojiSource(options);
}

std::set<std::string> words_of(const std::string& caption) {
  std::set<std::string> words;
  std::string word;
  for (const char c : caption + " ") {
    if (c == ' ' || c == ',') {
      if (!word.empty()) words.insert(word);
      word.clear();
    } else {
      word.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    }
  }
  return words;
}

std::set<std::string> trained_words(const Source& source) {
  std::set<std::string> words;
  for (std::size_t i = 0; i < source.size(); ++i)
    if (!source.picture(i).held_out) words.merge(words_of(source.picture(i).caption));
  return words;
}

std::size_t held_out_count(const Source& source) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < source.size(); ++i) count += source.picture(i).held_out;
  return count;
}

std::size_t index_of(const Source& source, const std::string& caption) {
  for (std::size_t i = 0; i < source.size(); ++i)
    if (source.picture(i).caption == caption) return i;
  throw Error("no picture '" + caption + "'");
}

TEST(EmojiSource, draws_every_sequence_of_the_list) {
  EXPECT_EQ(all().size(), 1870u);
  EXPECT_TRUE(all().left_out().empty());
  Options options;
  options.skin_tones = true;
  const EmojiSource with_tones(options);
  EXPECT_EQ(with_tones.size(), 3655u);
  std::set<std::string> ids, captions;
  for (std::size_t i = 0; i < with_tones.size(); ++i) {
    ids.insert(with_tones.picture(i).id);
    captions.insert(with_tones.picture(i).caption);
  }
  EXPECT_EQ(ids.size(), with_tones.size());
  EXPECT_EQ(captions.size(), with_tones.size());
}

TEST(EmojiSource, central_square_holds_the_whole_picture) {
  for (std::size_t i = 0; i < all().size(); ++i) {
    const Picture& picture = all().picture(i);
    const io::Image image = all().load(i);
    ASSERT_EQ(image.size(), (io::ImageSize{picture.original_width, picture.original_height}));
    const int margin = (image.width - image.height) / 2;
    for (int y = 0; y < image.height; ++y)
      for (int x = 0; x < margin; ++x)
        for (const int column : {x, image.width - 1 - x})
          ASSERT_EQ(image.at(column, y)[0] + image.at(column, y)[1] + image.at(column, y)[2], 765)
              << picture.caption;
  }
}

TEST(EmojiSource, shapes_have_the_colour_of_their_name) {
  const struct {
    const char* caption;
    int r, g, b;  // sign: +1 the channel is high, -1 low
  } cases[] = {{"red circle", 1, -1, -1},
               {"green square", -1, 1, -1},
               {"blue heart", -1, -1, 1},
               {"yellow circle", 1, 1, -1},
               {"black large square", -1, -1, -1}};
  for (const auto& c : cases) {
    const io::Image small = io::resize_and_crop(all().load(index_of(all(), c.caption)), {32, 32});
    const std::uint8_t* middle = small.at(16, 16);
    const int sign[] = {c.r, c.g, c.b};
    const int high = std::max({middle[0], middle[1], middle[2]});
    for (int k = 0; k < 3; ++k) {
      if (sign[k] > 0) {
        EXPECT_GT(middle[k], 3 * high / 4) << c.caption;
      } else if (c.r + c.g + c.b > -3) {
        EXPECT_LT(middle[k], 3 * high / 4) << c.caption;
      } else {
        EXPECT_LT(middle[k], 90) << c.caption;
      }
    }
    EXPECT_GT(small.at(0, 0)[0] + small.at(0, 0)[1] + small.at(0, 0)[2], 700) << c.caption;
  }
}

TEST(EmojiSource, sequences_are_drawn_as_one_picture) {
  // Joined by U+200D, by regional indicators, by tags, and by the key cap mark: no two look alike.
  std::set<std::string> pictures;
  const char* captions[] = {"heart on fire", "red heart",       "flag of France", "flag of Scotland",
                            "keycap 7",      "woman, red hair", "woman",          "family, man, girl",
                            "polar bear"};
  for (const char* caption : captions) {
    const io::Image image = all().load(index_of(all(), caption));
    pictures.insert(std::string(image.pixels.begin(), image.pixels.end()));
  }
  EXPECT_EQ(pictures.size(), std::size(captions));
}

TEST(EmojiSource, alternatives_add_words_and_never_name_a_held_out_picture) {
  std::size_t with_alternatives = 0;
  for (std::size_t i = 0; i < all().size(); ++i) {
    const Picture& picture = all().picture(i);
    with_alternatives += !picture.alternative_captions.empty();
    for (const std::string& other : picture.alternative_captions) {
      EXPECT_NE(other, picture.caption);
      EXPECT_FALSE(held_out_captions().contains(other)) << picture.caption << ": " << other;
    }
  }
  EXPECT_GT(with_alternatives, 1700u);
  const Picture& grin = all().picture(index_of(all(), "grinning face"));
  EXPECT_EQ(grin.alternative_captions, (std::vector<std::string>{"face", "grin"}));
}

TEST(HeldOut, is_a_hundred_known_captions_and_their_variants) {
  EXPECT_EQ(held_out_captions().size(), 100u);
  EXPECT_EQ(held_out_count(all()), 100u);
  Options options;
  options.skin_tones = true;
  const EmojiSource with_tones(options);
  for (std::size_t i = 0; i < with_tones.size(); ++i) {
    const Picture& picture = with_tones.picture(i);
    for (const char* who : {"woman", "man"}) {
      if (!picture.caption.starts_with(std::string(who) + " teacher")) continue;
      EXPECT_EQ(picture.held_out, std::string(who) == "woman") << picture.caption;
    }
  }
}

TEST(HeldOut, every_word_is_trained_in_another_caption) {
  for (const char* name : {"all", "quickstart", "shapes"}) {
    const EmojiSource source = subset(name);
    const auto trained = trained_words(source);
    for (std::size_t i = 0; i < source.size(); ++i) {
      if (!source.picture(i).held_out) continue;
      for (const std::string& word : words_of(source.picture(i).caption))
        EXPECT_TRUE(trained.contains(word)) << name << ": '" << word << "' of " << source.picture(i).caption;
    }
  }
}

TEST(HeldOut, each_colour_and_each_shape_of_the_six_is_trained_twice_or_more) {
  const std::map<std::string, std::string> six{{"purple", "heart"}, {"yellow", "heart"},  {"green", "circle"},
                                               {"blue", "circle"},  {"orange", "square"}, {"red", "square"}};
  for (const char* name : {"all", "quickstart", "shapes"}) {
    const EmojiSource source = subset(name);
    std::set<std::string> trained;
    for (std::size_t i = 0; i < source.size(); ++i)
      if (!source.picture(i).held_out) trained.insert(source.picture(i).caption);
    for (const auto& [colour, shape] : six) {
      EXPECT_FALSE(trained.contains(colour + " " + shape)) << name;
      EXPECT_TRUE(source.picture(index_of(source, colour + " " + shape)).held_out) << name;
      int colours_of_shape = 0, shapes_of_colour = 0;
      for (const std::string other : {"heart", "circle", "square"})
        shapes_of_colour += static_cast<int>(trained.count(colour + " " + other));
      for (const std::string other : {"red", "orange", "yellow", "green", "blue", "purple", "brown"})
        colours_of_shape += static_cast<int>(trained.count(other + " " + shape));
      EXPECT_EQ(shapes_of_colour, 2) << name << " " << colour;
      EXPECT_EQ(colours_of_shape, 5) << name << " " << shape;
    }
  }
}

TEST(Subsets, quickstart_is_small_and_holds_what_is_looked_at) {
  const EmojiSource quickstart = subset("quickstart"), shapes = subset("shapes");
  EXPECT_EQ(quickstart.size(), 221u);
  EXPECT_EQ(shapes.size(), 56u);
  for (const char* caption :
       {"red heart", "red circle", "blue square", "grinning face", "red apple", "carrot"})
    EXPECT_FALSE(quickstart.picture(index_of(quickstart, caption)).held_out) << caption;
  for (std::size_t i = 0; i < shapes.size(); ++i)
    EXPECT_NO_THROW(index_of(quickstart, shapes.picture(i).caption)) << shapes.picture(i).caption;
}

TEST(EmojiSource, missing_files_name_their_package) {
  const auto message = [](auto change) -> std::string {
    Options options;
    change(options);
    try {
      const EmojiSource source(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message([](Options& o) { o.emoji_test = "/no/x.txt"; }).find("apt-get install unicode-data"),
            std::string::npos);
  EXPECT_NE(
      message([](Options& o) { o.annotations = "/no/x.xml"; }).find("apt-get install unicode-cldr-core"),
      std::string::npos);
  EXPECT_NE(message([](Options& o) { o.font = "/no/x.ttf"; }).find("apt-get install fonts-noto-color-emoji"),
            std::string::npos);
  EXPECT_NE(message([](Options& o) { o.font = o.emoji_test; }).find("cannot read this font"),
            std::string::npos);
  EXPECT_NE(message([](Options& o) { o.subset = "fruit"; }).find("all, quickstart, shapes"),
            std::string::npos);
}

}  // namespace
}  // namespace tessera::datasets::emoji
