// Which words of a caption are nouns: WordNet's files, the rules one by one, and captions tagged by hand.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "base/error.hpp"
#include "datasets/concepts/noun_finder.hpp"
#include "io/file.hpp"
#include "unit/io/temporary_folder.hpp"

namespace tessera::datasets::concepts {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Words = std::vector<std::string>;

/// Debian's WordNet, loaded once.
const WordNet& wordnet() {
  static const WordNet loaded;
  return loaded;
}

Words nouns_of(const std::string& caption, bool unknown_words = false) {
  NounFinder finder(wordnet(), unknown_words);
  Words nouns;
  for (const std::uint32_t noun : finder.find(caption)) nouns.emplace_back(finder.nouns().text(noun));
  return nouns;
}

TEST(Vocabulary, numbers_texts_in_their_order_and_finds_them_again) {
  Vocabulary words;
  for (int i = 0; i < 100000; ++i) EXPECT_EQ(words.add("word" + std::to_string(i)), std::uint32_t(i));
  EXPECT_EQ(words.size(), 100000U);
  for (int i = 0; i < 100000; i += 7) {
    EXPECT_EQ(words.find("word" + std::to_string(i)), std::uint32_t(i));
    EXPECT_EQ(words.text(static_cast<std::uint32_t>(i)), "word" + std::to_string(i));
  }
  EXPECT_EQ(words.add("word5"), 5U);
  EXPECT_EQ(words.find("word"), Vocabulary::none);
  EXPECT_EQ(words.text(words.add(std::string(100000, 'x'))).size(), 100000U);
  EXPECT_EQ(words.add(""), 100001U);
}

TEST(WordNet, dictionary_forms_follow_morphy) {
  const std::map<std::string, std::string> nouns{
      {"dog", "dog"},        {"dogs", "dog"},       {"geese", "goose"},   {"mice", "mouse"},
      {"children", "child"}, {"buses", "bus"},      {"boxes", "box"},     {"churches", "church"},
      {"bushes", "bush"},    {"cities", "city"},    {"knives", "knife"},  {"snowmen", "snowman"},
      {"glass", "glass"},    {"eyes", "eye"},       {"people", "people"}, {"scissors", "scissors"},
      {"news", "news"},      {"species", "species"}};
  for (const auto& [word, lemma] : nouns) {
    EXPECT_EQ(wordnet().read(word, PartOfSpeech::noun).lemma, lemma) << word;
  }
  EXPECT_EQ(wordnet().read("running", PartOfSpeech::verb).lemma, "run");
  EXPECT_EQ(wordnet().read("ate", PartOfSpeech::verb).lemma, "eat");
  EXPECT_EQ(wordnet().read("largest", PartOfSpeech::adjective).lemma, "large");
  EXPECT_FALSE(wordnet().read("of", PartOfSpeech::noun).possible);
  EXPECT_FALSE(wordnet().read("ice_cream", PartOfSpeech::noun).possible);
  EXPECT_TRUE(wordnet().is_compound("ice", "cream"));
  EXPECT_FALSE(wordnet().is_compound("cream", "ice"));
  EXPECT_FALSE(wordnet().read("", PartOfSpeech::noun).possible);
  EXPECT_TRUE(wordnet().read("dogs", PartOfSpeech::noun).possible);
  EXPECT_FALSE(wordnet().read("dogs", PartOfSpeech::noun).is_base);
  EXPECT_TRUE(wordnet().read("dog", PartOfSpeech::noun).is_base);
  // as cntlist.rev has it: senses 1 to 7 of the noun, 1 of the verb
  EXPECT_EQ(wordnet().read("dog", PartOfSpeech::noun).count, 42U);
  EXPECT_EQ(wordnet().read("dogs", PartOfSpeech::verb).count, 2U);
}

TEST(WordNet, a_missing_file_names_the_package_and_a_foreign_one_its_line) {
  const test::TemporaryFolder folder;
  const auto message = [&] {
    try {
      const WordNet broken{std::filesystem::path(folder.path())};
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(message(), HasSubstr("apt-get install wordnet-base"));
  EXPECT_THAT(message(), HasSubstr("index.noun"));
  const std::string licence = "  1 This software\n";
  io::replace_file(folder / "index.noun",
                   licence + "dog n 1 0 1 1 00000001  \nice_cream n 1 0 1 0 00000002  \n");
  io::replace_file(folder / "index.verb", licence + "dog v 1 0 1 1 00000001  \n");
  io::replace_file(folder / "index.adj", licence + "red a 1 0 1 1 00000001  \n");
  io::replace_file(folder / "index.adv", licence + "well r 1 0 1 1 00000001  \n");
  io::replace_file(folder / "cntlist.rev",
                   "dog%1:05:00:: 1 40\ndog%2:38:00:: 1 2\nred%5:00:01:chromatic:00 1 9\n");
  io::replace_file(folder / "noun.exc", "dogges dog\n");
  io::replace_file(folder / "verb.exc", "dogged dog\ndogged dog\n");
  io::replace_file(folder / "adj.exc", "redder red\n");
  const WordNet small{std::filesystem::path(folder.path())};
  EXPECT_EQ(small.read("dogges", PartOfSpeech::noun).lemma, "dog");
  EXPECT_EQ(small.read("dogged", PartOfSpeech::verb).count, 2U);
  EXPECT_EQ(small.read("redder", PartOfSpeech::adjective).count, 9U);
  EXPECT_FALSE(small.read("ice", PartOfSpeech::noun).possible);

  const auto broken_by = [&](const char* name, const std::string& text) {
    const std::string before = io::read_file(folder / name);
    io::replace_file(folder / name, text);
    const std::string told = message();
    io::replace_file(folder / name, before);
    return told;
  };
  EXPECT_THAT(broken_by("index.noun", licence), HasSubstr("index.noun:1"));
  EXPECT_THAT(broken_by("index.noun", licence + "dog v 1\n"), HasSubstr("index.noun:2"));
  EXPECT_THAT(broken_by("cntlist.rev", "dog%1:05:00:: 1 40\ndog 40\n"), HasSubstr("cntlist.rev:2"));
  EXPECT_THAT(broken_by("cntlist.rev", "dog%7:05:00:: 1 40\n"), HasSubstr("cntlist.rev:1"));
  EXPECT_THAT(broken_by("noun.exc", "dogges\n"), HasSubstr("noun.exc:1"));
}

TEST(Nouns, each_rule_has_its_example) {
  EXPECT_THAT(nouns_of("a red stop sign"), ElementsAre("stop", "sign"));
  EXPECT_THAT(nouns_of("A person jumps over a fence while they watch"), ElementsAre("person", "fence"));
  EXPECT_THAT(nouns_of("a watch on the table"), ElementsAre("watch", "table"));
  EXPECT_THAT(nouns_of("a woman cooking dinner"), ElementsAre("woman", "dinner"));
  EXPECT_THAT(nouns_of("a parking lot"), ElementsAre("parking", "lot"));
  EXPECT_THAT(nouns_of("a cat sleeps"), ElementsAre("cat"));
  EXPECT_THAT(nouns_of("two teddy bears"), ElementsAre("teddy", "bear"));
  EXPECT_THAT(nouns_of("a light wood desk"), ElementsAre("wood", "desk"));
  EXPECT_THAT(nouns_of("dramatic light"), ElementsAre("light"));
  EXPECT_THAT(nouns_of("a cat on the left, a dog to the right."), ElementsAre("cat", "left", "dog", "right"));
  EXPECT_THAT(nouns_of("It is what it was, and of those in an or I am"), ElementsAre());
}

TEST(Nouns, words_are_cut_where_a_reader_cuts_them) {
  EXPECT_THAT(nouns_of("The dog's ball; the children\u2019s toys"),
              ElementsAre("dog", "ball", "child", "toy"));
  EXPECT_THAT(nouns_of("he's running, she'll wait, they don't fly"), ElementsAre());
  EXPECT_THAT(nouns_of("An X-ray and a T-shirt"), ElementsAre("x-ray", "t-shirt"));
  EXPECT_THAT(nouns_of("teddy-bear\u2014table/chair&lamp"),
              ElementsAre("teddy", "bear", "table", "chair", "lamp"));
  EXPECT_THAT(nouns_of("CAF\u00c9 caf\u00e9"), ElementsAre("cafe", "cafe"));
  EXPECT_THAT(nouns_of("see https://example.com/red-cat.html or WWW.cats.org: cats"), ElementsAre("cat"));
  EXPECT_THAT(nouns_of("3 dogs, 4k video, mp3, 2018"), ElementsAre("dog", "video"));
  EXPECT_THAT(nouns_of("\u732b \u0441\u043e\u0431\u0430\u043a\u0430 cat"), ElementsAre("cat"));
  EXPECT_THAT(nouns_of(std::string("cat\0dog\xFF\xC3", 9)), ElementsAre("cat", "dog"));
  EXPECT_THAT(nouns_of("---'' - ' -cat- 'dog' "), ElementsAre("cat", "dog"));
  EXPECT_THAT(nouns_of(std::string(100000, 'x') + " cat"), ElementsAre("cat"));
  EXPECT_THAT(nouns_of(""), ElementsAre());
}

TEST(Nouns, unknown_words_are_nouns_only_when_asked_for) {
  const std::string caption = "a photo of Zorblax and the quuxes of-zorblax";
  EXPECT_THAT(nouns_of(caption), ElementsAre("photo"));
  EXPECT_THAT(nouns_of(caption, true), ElementsAre("photo", "zorblax", "quuxes", "zorblax"));
  NounFinder finder(wordnet());
  (void)finder.find(caption);
  EXPECT_EQ(finder.unknown(), 3U);
  (void)finder.find("a cat");
  EXPECT_EQ(finder.unknown(), 0U);
}

TEST(Nouns, earlier_captions_change_nothing) {
  NounFinder finder(wordnet());
  const std::string caption = "A woman in a blue dress watches the boats.";
  const std::vector<std::uint32_t> first = finder.find(caption);
  (void)finder.find("boats dress watches to dress, the blue of women");
  EXPECT_EQ(finder.find(caption), first);
}

TEST(Nouns, captions_tagged_by_hand) {
  const std::filesystem::path file =
      std::filesystem::path(__FILE__).parent_path() / "data" / "caption_nouns.txt";
  std::ifstream lines(file);
  ASSERT_TRUE(lines.is_open()) << file;
  double right = 0, found = 0, wanted = 0;
  int captions = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    ++captions;
    const std::size_t bar = line.find(" | ");
    ASSERT_NE(bar, std::string::npos) << line;
    std::map<std::string, int> expected;
    std::istringstream list(line.substr(bar + 3));
    for (std::string noun; list >> noun;) {
      ++expected[noun];
      ++wanted;
    }
    for (const std::string& noun : nouns_of(line.substr(0, bar))) {
      ++found;
      if (expected[noun]-- > 0) ++right;
    }
  }
  EXPECT_EQ(captions, 70);
  EXPECT_GE(right / found, 0.96);   // 0.967
  EXPECT_GE(right / wanted, 0.98);  // 0.987
}

}  // namespace
}  // namespace tessera::datasets::concepts
