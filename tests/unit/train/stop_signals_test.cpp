// Signals that ask a run to stop, at any moment of its arithmetic.
#include "train/stop_signals.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>
#include <vector>

#include "compute/matmul.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera::train {
namespace {

/// A thread that sends SIGUSR1 to the process, again and again while it lives.
class Sender {
 public:
  Sender() : thread_([this] { send(); }) {}
  ~Sender() {
    stop_ = true;
    thread_.join();
  }
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;
  [[nodiscard]] int sent() const { return sent_; }

 private:
  void send() {
    while (!stop_) {
      kill(getpid(), SIGUSR1);
      ++sent_;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }
  std::atomic<bool> stop_{false};
  std::atomic<int> sent_{0};
  std::thread thread_;
};

bool blocked(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

// The kernels of matrix products use the stack pointer for themselves: a handler that ran on their thread
// would write over the heap.
TEST(StopSignals, ComeDuringMatrixProductsWithoutHarm) {
  const Tensor a = test::random_tensor({256, 320}, DType::f32, 1);
  const Tensor b = test::random_tensor({320, 192}, DType::f32, 2);
  const auto product = [&] {
    const Tensor c = Tensor::empty({256, 192}, DType::f32);
    compute::matmul(compute::as_matrix(a), compute::Transpose::no, compute::as_matrix(b),
                    compute::Transpose::no, compute::as_matrix(c), 1, false);
    return c.to_host<float>();
  };
  const std::vector<float> undisturbed = product();
  const StopSignals signals;
  const Sender sender;
  for (int i = 0; i < 200 || sender.sent() < 200; ++i) ASSERT_EQ(product(), undisturbed) << "product " << i;
  EXPECT_TRUE(StopSignals::received());
}

TEST(StopSignals, AreRememberedUntilTheNext) {
  for (const int signal : {SIGTERM, SIGUSR1}) {
    const StopSignals signals;
    EXPECT_FALSE(StopSignals::received());
    std::raise(signal);
    EXPECT_TRUE(StopSignals::received());
    EXPECT_TRUE(StopSignals::received());
  }
}

TEST(StopSignals, ReachAThreadThatLetsThemThrough) {
  const StopSignals signals;
  std::thread([] {
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    std::raise(SIGTERM);
  }).join();
  EXPECT_TRUE(StopSignals::received());
}

TEST(StopSignals, LeaveHandlersAndMaskAsTheyWereAndEndNothing) {
  struct sigaction ignored {};
  ignored.sa_handler = SIG_IGN;
  struct sigaction before {};
  sigaction(SIGUSR1, &ignored, &before);
  const bool was_blocked = blocked(SIGTERM);
  {
    const StopSignals signals;
    EXPECT_TRUE(blocked(SIGTERM));
    std::raise(SIGTERM);  // waits unasked for when the object goes
  }
  struct sigaction after {};
  sigaction(SIGUSR1, &before, &after);
  EXPECT_EQ(after.sa_handler, SIG_IGN);
  EXPECT_EQ(blocked(SIGTERM), was_blocked);
}

}  // namespace
}  // namespace tessera::train
