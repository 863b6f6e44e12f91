#include "base/error.hpp"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(Error, SaysWhereWhatAndRemedyInOneLine) {
  EXPECT_STREQ(Error("no space").what(), "no space");
  EXPECT_STREQ(Error("no space", "a.h5").what(), "a.h5: no space");
  EXPECT_STREQ(Error("no space", "a.h5", "free some").what(), "a.h5: no space. Remedy: free some");
  EXPECT_STREQ(Error("no space.", "", "free some").what(), "no space. Remedy: free some");
}

TEST(Error, KeepsItsParts) {
  const Error error("w", "x", "y", ExitCode::usage);
  EXPECT_EQ(error.summary(), "w");
  EXPECT_EQ(error.where(), "x");
  EXPECT_EQ(error.remedy(), "y");
  EXPECT_EQ(error.code(), ExitCode::usage);
  EXPECT_EQ(Error("w").code(), ExitCode::error);
}

}  // namespace
}  // namespace tessera
