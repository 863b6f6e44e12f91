#include "base/activity.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace tessera {
namespace {

Activity now() { return read_activity(activity_record()); }

TEST(Activity, NamesWhatIsInsideWhat) {
  const std::uint64_t before = now().beats;
  EXPECT_EQ(now().text, "");
  {
    const Doing stage("stage 'small'");
    {
      const Doing step("backward", Doing::Kind::work, 10);
      const Doing wait("all-reduce", Doing::Kind::wait, 3);
      EXPECT_EQ(now().text, "stage 'small', backward, all-reduce");
      EXPECT_TRUE(now().waits);
      EXPECT_EQ(now().patience, 10);
    }
    EXPECT_EQ(now().text, "stage 'small'");
    EXPECT_FALSE(now().waits);
    EXPECT_EQ(now().patience, 1);
  }
  EXPECT_EQ(now().text, "");
  EXPECT_GT(now().beats, before);
}

TEST(Activity, CutsWhatIsTooLong) {
  const Doing outer(std::string(150, 'a'));
  const Doing inner(std::string(50, 'b'));
  EXPECT_EQ(now().text, std::string(150, 'a') + ", " + std::string(7, 'b'));
  const Doing innermost("c");
  EXPECT_EQ(now().text.size(), ActivityRecord::text_bytes - 1);
}

TEST(Activity, MovesToAnotherRecord) {
  const auto other = std::make_unique<ActivityRecord>();
  const Doing doing("something");
  set_activity_step(12);
  move_activity(other.get());
  EXPECT_EQ(read_activity(*other).text, "something");
  EXPECT_EQ(read_activity(*other).step, 12);
  {
    const Doing inner("more");
    EXPECT_EQ(read_activity(*other).text, "something, more");
  }
  const std::uint64_t beats = read_activity(*other).beats;
  move_activity(nullptr);
  beat();
  EXPECT_EQ(read_activity(*other).beats, beats);
  EXPECT_EQ(now().text, "something");
  set_activity_step(0);
}

TEST(Activity, IsReadWholeWhileItChanges) {
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) {
      const std::string text = now().text;
      const bool whole = text.empty() || text == std::string(100, 'x') || text == std::string(120, 'y');
      if (!whole) ADD_FAILURE() << text;
    }
  });
  for (int i = 0; i < 20000; ++i) {
    { const Doing doing(std::string(100, 'x')); }
    { const Doing doing(std::string(120, 'y')); }
  }
  done = true;
  reader.join();
}

}  // namespace
}  // namespace tessera
