#include "comm/watchdog.hpp"

#include <gtest/gtest.h>

namespace tessera::comm {
namespace {

WatchedRank rank(int number, const std::string& text, bool waits, char state = 'S') {
  return {number, 100 + number, {.text = text, .step = 13, .waits = waits}, state};
}

TEST(Watchdog, SaysWhoHoldsUpWhom) {
  EXPECT_EQ(describe_standstill("box",
                                {rank(0, "all-reduce", true), rank(1, "forward", false, 'T'),
                                 rank(2, "all-reduce", true), rank(3, "all-reduce", true)},
                                true),
            "rank 1 (process 101 on box, stopped by a signal) hangs in: step 13, forward; "
            "ranks 0, 2-3 wait for the others in: step 13, all-reduce");
}

TEST(Watchdog, AStoppedProcessHoldsUpTheOthersWhereverItIs) {
  EXPECT_EQ(describe_standstill("box", {rank(0, "all-reduce", true), rank(1, "all-reduce", true, 'T')}, true),
            "rank 1 (process 101 on box, stopped by a signal) hangs in: step 13, all-reduce; "
            "rank 0 waits for the others in: step 13, all-reduce");
}

TEST(Watchdog, KnowsThatTheOtherIsElsewhere) {
  EXPECT_EQ(describe_standstill("box", {rank(4, "barrier", true), rank(5, "gather", true)}, false),
            "rank 4 waits on box for the others in: step 13, barrier; rank 5 waits on box for the others in: "
            "step 13, gather; the rank that has not arrived is on another node");
}

}  // namespace
}  // namespace tessera::comm
