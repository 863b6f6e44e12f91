// Codec and text encoder as the command line chooses them, and the pair that knows shapes only.

#include "launch/encoders.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.hpp"
#include "io/file.hpp"

namespace tessera::launch {
namespace {

using testing::HasSubstr;

const Registry& registry() {
  static const Registry loaded = Registry::with_installed_plugins();
  return loaded;
}

EncoderChoice choose(const std::vector<std::string>& words) {
  CommandTable table;
  table.name = "data build emoji";
  table.options = encoder_options();
  return {parse_arguments(table, words), registry(), table.name};
}

std::string message(const std::vector<std::string>& words) {
  try {
    EncoderChoice choice = choose(words);
    static_cast<void>(choice.make_codec());
    static_cast<void>(choice.make_text_encoder());
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Encoders, need_nothing_by_default) {
  EncoderChoice choice = choose({});
  EXPECT_EQ(choice.make_codec()->identity(), "pixel");
  EXPECT_THAT(choice.make_text_encoder()->identity(), HasSubstr("word-hash"));
}

TEST(Encoders, settings_lie_over_files_over_defaults) {
  const auto file =
      std::filesystem::temp_directory_path() / ("tessera_encoders_" + std::to_string(::getpid()) + ".toml");
  io::replace_file(file.string(),
                   "[run]\nseed = 1\n[text_encoder]\nname = \"word-hash\"\nwidth = 48\nlength = 5\n");
  EncoderChoice from_file = choose({"--config", file.string()});
  EXPECT_EQ(from_file.make_text_encoder()->width(), 48);
  EXPECT_EQ(from_file.make_codec()->channels(), 3);
  EncoderChoice over = choose({"--config", file.string(), "--set", "text_encoder.length=9"});
  const auto text_encoder = over.make_text_encoder();
  EXPECT_EQ(text_encoder->width(), 48);
  EXPECT_EQ(text_encoder->length(), 9);
  std::filesystem::remove(file);
}

TEST(Encoders, know_what_a_token_of_the_run_covers) {
  const auto side = [](const std::vector<std::string>& words) {
    EncoderChoice choice = choose(words);
    return choice.token_side(*choice.make_codec(), *choice.make_text_encoder());
  };
  const std::filesystem::path here = __FILE__;
  const auto of = [&](const char* name) {
    return side({"--config", (here.parent_path() / "../../../configs" / name).string()});
  };
  EXPECT_EQ(side({}), std::nullopt);
  EXPECT_EQ(of("demo/pixart.toml"), 2);      // pixels, patch 2
  EXPECT_EQ(of("demo/quickstart.toml"), 4);  // pixels, patch 4
  EXPECT_EQ(of("pixart/xl-2.toml"), 16);     // an eighth of the pixels, patch 2
}

TEST(Encoders, mistakes_are_told) {
  EXPECT_THAT(message({"--codec", "pixle"}), HasSubstr("'pixel'"));
  EXPECT_THAT(message({"--set", "text_encoder.lenght=9"}), HasSubstr("'length'"));
  EXPECT_THAT(message({"--set", "model.depth=9"}), HasSubstr("neither codec, text encoder nor control map"));
}

TEST(Precomputed, knows_shapes_and_refuses_to_code) {
  EncoderChoice choice = choose({"--codec", "precomputed", "--text-encoder", "precomputed", "--set",
                                 "codec.channels=16", "--set", "text_encoder.length=120"});
  const auto codec = choice.make_codec();
  const auto text_encoder = choice.make_text_encoder();
  EXPECT_EQ(codec->channels(), 16);
  EXPECT_EQ(codec->downsampling(), 8);
  EXPECT_EQ(text_encoder->width(), 1024);
  EXPECT_EQ(text_encoder->length(), 120);
  EXPECT_THROW(static_cast<void>(codec->encode(io::Image(8, 8))), Error);
  EXPECT_THROW(static_cast<void>(codec->decode(std::vector<float>(16), 1, 1)), Error);
  EXPECT_THROW(static_cast<void>(text_encoder->encode("a cat")), Error);
  EXPECT_NE(codec->identity(),
            choose({"--codec", "precomputed", "--set", "codec.scale=0.18215"}).make_codec()->identity());
}

}  // namespace
}  // namespace tessera::launch
