#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.hpp"
#include "datasets/folder/captions_file.hpp"
#include "datasets/folder/folder_source.hpp"
#include "io/file.hpp"
#include "io/png.hpp"

namespace tessera::datasets::folder {
namespace {

std::vector<Row> parse_captions(std::string_view text, const std::string& name,
                                const CaptionFields& fields = {"caption"}) {
  CaptionsReader reader(RecordText(text, name), fields);
  std::vector<Row> rows;
  for (Row row; reader.next(row);) rows.push_back(row);
  return rows;
}

TEST(RecordText, records_are_the_same_for_every_chunk) {
  const std::string text = "\xEF\xBB\xBFimage,caption\r\n\n\"two\nlines\",x\nplain,\"a \"\"b\"\"\n\n\"\nlast";
  for (std::size_t chunk = 1; chunk < 60; ++chunk) {
    SCOPED_TRACE(chunk);
    RecordText records(text, "text", chunk);
    records.skip_byte_order_mark();
    EXPECT_EQ(records.first_character(), 'i');
    std::vector<std::pair<std::string, std::size_t>> found;
    while (const auto record = records.next(/*quotes=*/true)) {
      found.emplace_back(record->text, record->line);
      EXPECT_EQ(record->text, text.substr(record->offset, record->text.size()));
    }
    const std::vector<std::pair<std::string, std::size_t>> wanted{{"image,caption\r\n", 1},
                                                                  {"\n", 2},
                                                                  {"\"two\nlines\",x\n", 3},
                                                                  {"plain,\"a \"\"b\"\"\n\n\"\n", 5},
                                                                  {"last", 8}};
    EXPECT_EQ(found, wanted);
  }
}

TEST(RecordText, a_record_that_never_ends_is_refused_before_memory_runs_out) {
  const std::string text = "a\n\"" + std::string(66'000'000, 'x') + "\n";
  RecordText records(text, "text");
  EXPECT_EQ(records.next(true)->text, "a\n");
  try {
    (void)records.next(true);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), "text:2");
    EXPECT_NE(std::string(error.what()).find("64.0 MB"), std::string::npos) << error.what();
  }
  RecordText blank(" \t\r\n", "text", 2);
  EXPECT_EQ(blank.first_character(), std::nullopt);
}

TEST(Captions, other_fields_can_be_asked_for) {
  const auto rows = parse_captions("image,dense,caption\na.png,long,short\n", "c.csv", {"dense", "caption"});
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].captions, (std::vector<std::string>{"long", "short"}));
  EXPECT_EQ(parse_captions("{\"image\": \"a\", \"dense\": \"b\"}", "c", {"dense"})[0].captions[0], "b");
  EXPECT_THROW(parse_captions("image,caption\na.png,b\n", "c.csv", {"dense"}), Error);
}

class FolderTest : public testing::Test {
 protected:
  FolderTest() {
    std::filesystem::create_directories(path_ / "sub");
    io::write_png(path_ / "a.png", io::Image(8, 6, {255, 0, 0}));
    io::write_png(path_ / "sub/b c.png", io::Image(4, 20, {0, 255, 0}));
  }
  ~FolderTest() override { std::filesystem::remove_all(path_); }

  void captions(const std::string& name, const std::string& text) {
    io::replace_file((path_ / name).string(), text);
  }
  [[nodiscard]] Options options() const {
    Options result;
    result.folder = path_;
    return result;
  }
  [[nodiscard]] static std::string message(const Options& options) {
    try {
      const FolderSource source(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("tessera_folder_" + std::to_string(::getpid()));
};

TEST(Captions, csv_quoting_follows_rfc_4180) {
  const auto rows = parse_captions(
      "\xEF\xBB\xBFimage,note,caption,held_out\r\n"
      "a.png,,\"a \"\"red\"\" heart, large\",true\r\n"
      "\r\n"
      "\"b,c.png\",x,\"two\nlines\",\r\n"
      "d.png,x,plain,false",
      "c.csv");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].captions[0], "a \"red\" heart, large");
  EXPECT_TRUE(rows[0].held_out);
  EXPECT_EQ(rows[0].line, 2u);
  EXPECT_EQ(rows[1].image, "b,c.png");
  EXPECT_EQ(rows[1].captions[0], "two\nlines");
  EXPECT_EQ(rows[1].line, 4u);
  EXPECT_EQ(rows[2].line, 6u);
  EXPECT_FALSE(rows[2].held_out);
}

TEST(Captions, json_lines_take_optional_keys) {
  const auto rows = parse_captions(
      "{\"image\": \"a.png\", \"caption\": \"caf\\u00e9\", \"other\": 1}\n\n"
      "{\"image\": \"b.png\", \"caption\": \"b\", \"group\": \"g\", \"subgroup\": \"s\", \"held_out\": true,"
      " \"alternative_captions\": [\"x\", \"y\"]}\n",
      "c.jsonl");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].captions[0], "caf\u00e9");
  EXPECT_EQ(rows[1].line, 3u);
  EXPECT_EQ(rows[1].group + rows[1].subgroup, "gs");
  EXPECT_TRUE(rows[1].held_out);
  EXPECT_EQ(rows[1].alternative_captions, (std::vector<std::string>{"x", "y"}));
}

TEST(Captions, malformed_lines_are_named) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "c:1"},
      {"image,text\na,b\n", "c:1"},
      {"image,caption\na.png\n", "c:2"},
      {"image,caption\na.png,x,y\n", "c:2"},
      {"image,caption\na.png,x\nb.png,\"open\n\n", "c:3"},
      {"image,caption\na.png,\"x\" y\n", "c:2"},
      {"image,caption\na.png,x\"y\n", "c:2"},
      {"image,caption,held_out\na.png,x,perhaps\n", "c:2"},
      {"image,caption\na.png,ok\nb.png,\xFF\n", "c:3"},
      {"image,caption\na.png,\xED\xA0\x80\n", "c:2"},
      {"{\"image\": \"a\", \"caption\": \"b\"}\n{\"image\": \"a\"}\n", "c:2"},
      {"{\"image\": \"a\", \"caption\": \"b\"}\n[1]\n", "c:2"},
      {"{\"image\": \"a\", \"caption\": \"b\"\n", "c:1"},
      {"{\"image\": \"a\", \"caption\": 3}\n", "c:1"},
      {"{\"image\": \"a\", \"caption\": \"b\", \"held_out\": 1}\n", "c:1"},
  };
  for (const auto& [text, where] : cases) {
    try {
      (void)parse_captions(text, "c");
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.where(), where) << text;
    }
  }
}

TEST_F(FolderTest, reads_pictures_and_their_captions) {
  captions("captions.csv", "image,caption\na.png,red\nsub/b c.png,green\na.png,also red\n");
  const FolderSource source(options());
  ASSERT_EQ(source.size(), 3u);
  EXPECT_EQ(source.picture(1).caption, "green");
  EXPECT_EQ(source.picture(1).original_width, 4);
  EXPECT_EQ(source.picture(1).original_height, 20);
  EXPECT_EQ(source.load(1), io::Image(4, 20, {0, 255, 0}));
  EXPECT_EQ(source.picture(0).id, "a.png");
  EXPECT_EQ(source.picture(2).id, "a.png#4");
}

TEST_F(FolderTest, pictures_may_have_control_maps_of_their_own) {
  for (const bool json : {false, true}) {
    captions(json ? "captions.jsonl" : "captions.csv",
             json ? "{\"image\": \"a.png\", \"caption\": \"x\", \"control\": \"sub/b c.png\"}\n"
                    "{\"image\": \"sub/b c.png\", \"caption\": \"y\"}\n"
                  : "image,control,caption\na.png,sub/b c.png,x\nsub/b c.png,,y\n");
    Options wanted = options();
    wanted.captions = wanted.folder / (json ? "captions.jsonl" : "captions.csv");
    const FolderSource source(wanted);
    ASSERT_EQ(source.size(), 2u);
    EXPECT_EQ(source.load_control(0), io::Image(4, 20, {0, 255, 0}));
    EXPECT_EQ(source.load_control(1), std::nullopt);
  }
  captions("captions.csv", "image,control,caption\na.png,none.png,x\n");
  Options missing = options();
  missing.captions = missing.folder / "captions.csv";
  EXPECT_NE(message(missing).find("none.png"), std::string::npos) << message(missing);
}

TEST_F(FolderTest, further_fields_and_alternatives_become_alternative_captions) {
  captions("captions.jsonl",
           "{\"image\": \"a.png\", \"caption\": \"x\", \"dense_caption\": \"y\", "
           "\"alternative_captions\": [\"z\"]}\n");
  Options both = options();
  both.caption_fields = {"dense_caption", "caption"};
  const FolderSource source(both);
  EXPECT_EQ(source.picture(0).caption, "y");
  EXPECT_EQ(source.picture(0).alternative_captions, (std::vector<std::string>{"x", "z"}));
  both.alternatives = false;
  EXPECT_EQ(FolderSource(both).picture(0).alternative_captions, std::vector<std::string>{"x"});

  captions("captions.jsonl", "{\"image\": \"a.png\", \"caption\": \"x\", \"dense_caption\": \" \"}\n");
  EXPECT_NE(message(both).find("caption is empty"), std::string::npos) << message(both);
  captions("captions.jsonl", "{\"image\": \"a.png\", \"caption\": \"x\"}\n");
  EXPECT_NE(message(both).find("\"dense_caption\" is missing"), std::string::npos) << message(both);
}

TEST_F(FolderTest, small_pictures_are_left_out_and_counted) {
  captions("captions.jsonl",
           "{\"image\": \"a.png\", \"caption\": \"x\"}\n{\"image\": \"sub/b c.png\", \"caption\": \"y\"}\n");
  Options five = options();
  five.min_side = 5;
  const FolderSource source(five);
  ASSERT_EQ(source.size(), 1u);
  ASSERT_EQ(source.left_out().size(), 1u);
  EXPECT_EQ(source.left_out()[0].count, 1u);
  five.min_side = 7;
  EXPECT_NE(message(five).find("empty (2 left out: short side below 7 pixels)"), std::string::npos)
      << message(five);
}

TEST_F(FolderTest, bad_pictures_are_errors_with_line_or_skipped_and_counted) {
  auto bytes = io::read_file((path_ / "a.png").string());
  bytes.resize(bytes.size() - 20);
  io::replace_file((path_ / "cut.png").string(), bytes);
  for (const char* line : {"missing.png,x", "cut.png,x", ",x", "a.png,\"  \"", "captions.csv,x"}) {
    captions("captions.csv", "image,caption\nsub/b c.png,fine\n" + std::string(line) + "\n");
    if (!std::string(line).starts_with("cut")) {
      EXPECT_NE(message(options()).find("captions.csv:3"), std::string::npos)
          << line << ": " << message(options());
    } else {
      const FolderSource source(options());
      EXPECT_THROW(
          {
            try {
              (void)source.load(1);
            } catch (const Error& error) {
              EXPECT_NE(std::string(error.what()).find("captions.csv:3"), std::string::npos) << error.what();
              EXPECT_NE(std::string(error.what()).find("cut.png"), std::string::npos) << error.what();
              throw;
            }
          },
          Error);
    }
    Options skip = options();
    skip.skip_bad = true;
    const FolderSource source(skip);
    EXPECT_EQ(source.size(), 1u) << line;
    ASSERT_EQ(source.left_out().size(), 1u) << line;
    EXPECT_EQ(source.left_out()[0].count, 1u);
    EXPECT_NE(source.left_out()[0].reason.find("captions.csv:3"), std::string::npos);
  }
}

TEST_F(FolderTest, a_folder_without_captions_says_what_to_write) {
  EXPECT_NE(message(options()).find("captions.csv"), std::string::npos);
  captions("captions.csv", "image,caption\n");
  EXPECT_NE(message(options()).find("empty"), std::string::npos);
}

}  // namespace
}  // namespace tessera::datasets::folder
