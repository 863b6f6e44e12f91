#include "datasets/emoji/emoji_list.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "datasets/emoji/annotations.hpp"
#include "datasets/emoji/lists.hpp"

namespace tessera::datasets::emoji {
namespace {

constexpr const char* sample =
    "# emoji-test.txt\n"
    "# group: Smileys & Emotion\n"
    "# subgroup: heart\n"
    "2764 FE0F   ; fully-qualified     # \u2764 E0.6 red heart\n"
    "2764        ; unqualified         # \u2764 E0.6 red heart\n"
    "# group: People & Body\r\n"
    "# subgroup: person\r\n"
    "1F469 1F3FB 200D 1F9B0 ; fully-qualified # x E11.0 woman: light skin tone, red hair\r\n";

TEST(EmojiList, keeps_fully_qualified_lines_with_their_groups) {
  const auto entries = parse_emoji_test(sample, "sample");
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].code_points, U"\u2764\uFE0F");
  EXPECT_EQ(entries[0].caption, "red heart");
  EXPECT_EQ(entries[0].group, "Smileys & Emotion");
  EXPECT_EQ(entries[0].subgroup, "heart");
  EXPECT_FALSE(entries[0].skin_tone);
  EXPECT_EQ(entries[1].caption, "woman, light skin tone, red hair");
  EXPECT_EQ(entries[1].base_caption, "woman, red hair");
  EXPECT_EQ(entries[1].subgroup, "person");
  EXPECT_TRUE(entries[1].skin_tone);
}

TEST(EmojiList, malformed_lines_are_named) {
  for (const char* line : {"1F600 fully-qualified # x E1.0 face", "1F6zz ; fully-qualified # x E1.0 face",
                           "1F600 ; fully-qualified # nothing", "110000 ; fully-qualified # x E1.0 face"}) {
    try {
      (void)parse_emoji_test("# comment\n" + std::string(line), "list");
      ADD_FAILURE() << line;
    } catch (const Error& error) {
      EXPECT_EQ(error.where(), "list:2") << line;
    }
  }
}

TEST(EmojiList, names_become_plain_words) {
  EXPECT_EQ(clean_name("flag: C\u00F4te d\u2019Ivoire"), "flag of C\u00F4te d'Ivoire");
  EXPECT_EQ(clean_name("keycap: 7"), "keycap 7");
  EXPECT_EQ(clean_name("couple with heart: woman, man"), "couple with heart, woman, man");
  EXPECT_EQ(clean_name("A button (blood type)"), "A button, blood type");
  EXPECT_EQ(clean_name("Japanese \u201Cfree of charge\u201D button"), "Japanese free of charge button");
  EXPECT_EQ(clean_name("\u229B melting face"), "melting face");
  EXPECT_EQ(clean_name("smiling cat with heart-eyes"), "smiling cat with heart-eyes");
}

TEST(EmojiList, skin_tones_are_dropped_from_names) {
  EXPECT_EQ(without_skin_tones("waving hand: medium-dark skin tone"), "waving hand");
  EXPECT_EQ(without_skin_tones("kiss: man, man, light skin tone, dark skin tone"), "kiss: man, man");
  EXPECT_EQ(without_skin_tones("kiss: person, person, light skin tone, dark skin tone"), "kiss");
  EXPECT_EQ(without_skin_tones("woman: dark skin tone, red hair"), "woman: red hair");
  EXPECT_EQ(without_skin_tones("red heart"), "red heart");
}

TEST(Annotations, words_are_split_unescaped_and_keyed_without_selectors) {
  Annotations annotations;
  parse_annotations(
      "<ldml><annotation cp=\"\u2764\uFE0F\">heart | red heart</annotation>\n"
      "<annotation cp=\"\u2764\" type=\"tts\">red heart</annotation>\n"
      "<annotation cp=\"&amp;\">and | R&amp;B | and</annotation></ldml>",
      "en.xml", annotations);
  EXPECT_EQ(annotations.size(), 2u);
  EXPECT_EQ(annotations.at(annotation_key(U"\u2764\uFE0F")),
            (std::vector<std::string>{"heart", "red heart"}));
  EXPECT_EQ(annotations.at("&"), (std::vector<std::string>{"and", "R&B"}));
  EXPECT_EQ(annotation_key(U"A\u00E9\u20AC\U0001F49C"), "A\u00E9\u20AC\U0001F49C");
}

TEST(Annotations, cut_files_are_refused) {
  Annotations annotations;
  EXPECT_THROW(parse_annotations("<ldml></ldml>", "en.xml", annotations), Error);
  EXPECT_THROW(parse_annotations("\n<annotation cp=\"x\">wor", "en.xml", annotations), Error);
  EXPECT_THROW(read_annotations("/nonexistent/en.xml", annotations), Error);
}

TEST(Subset, the_last_rule_that_names_an_entry_decides) {
  const auto entries = parse_emoji_test(sample, "sample");
  const Subset subset("# comment\n+ subgroup heart\n\n+ caption woman, red hair\n- caption red heart\n",
                      "test");
  EXPECT_FALSE(subset.contains(entries[0]));
  EXPECT_TRUE(subset.contains(entries[1]));
  EXPECT_NO_THROW(subset.check_against(entries));
  EXPECT_THROW(Subset("+ caption red hart", "test").check_against(entries), Error);
}

TEST(Subset, malformed_rules_and_unknown_names_are_refused) {
  for (const char* rule : {"caption red heart", "+caption red heart", "+ colour red", "*"})
    EXPECT_THROW(Subset(rule, "test"), Error) << rule;
  try {
    (void)Subset::named("quickstrat");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(error.remedy().find("quickstart"), std::string::npos);
  }
}

}  // namespace
}  // namespace tessera::datasets::emoji
