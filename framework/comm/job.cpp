#include "comm/job.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <new>
#include <optional>
#include <thread>
#include <vector>

#include "comm/mpi_support.hpp"

namespace tessera::comm {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto wait_for_company = std::chrono::seconds(2);
constexpr auto poll_interval = std::chrono::milliseconds(1);
constexpr auto time_to_end_a_hanging_job = std::chrono::seconds(5);
constexpr auto time_to_forward_output = std::chrono::milliseconds(50);
constexpr int threw_flag = 256;  // exit codes are below it

/// How the ranks' bodies ended: their exit codes, plus threw_flag where an exception ended them.
/// Empty when `limited` and the others did not come in time, or MPI failed.
std::vector<int> endings(MPI_Comm channel, int own, int size, bool limited) {
  // Both buffers belong to MPI if the wait is given up, so they live as long as the process.
  static int sent = 0;
  static std::vector<int> received;
  sent = own;
  received.assign(static_cast<std::size_t>(size), 0);
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Iallgather(&sent, 1, MPI_INT, received.data(), 1, MPI_INT, channel, &request) != MPI_SUCCESS) {
    return {};
  }
  const auto deadline = Clock::now() + wait_for_company;
  for (;;) {
    int done = 0;
    if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return {};
    if (done != 0) return received;
    if (limited && Clock::now() > deadline) return {};
    std::this_thread::sleep_for(poll_interval);
  }
}

std::optional<Error> failure_of(const std::function<void()>& body) {
  try {
    body();
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error("memory ran out", "", "Use a smaller micro-batch or fewer ranks per node.");
  } catch (const std::exception& error) {
    return Error(error.what());
  }
}

/// Open MPI 4 prints ten lines about every abort, after the reason for it. The flag behind its option
/// --quiet is the only switch; it stays off until here, so that MPI's own troubles are still told.
void silence_abort_banner() {
  if (auto* const quiet = static_cast<bool*>(dlsym(RTLD_DEFAULT, "orte_execute_quiet"))) *quiet = true;
}

}  // namespace

int guard(const std::function<ExitCode(const Communicator&)>& body,
          const std::function<void(const Error&, int)>& report) {
  const Communicator world = Communicator::world();
  const int rank = world.rank();
  const int size = world.size();
  MPI_Comm channel = MPI_COMM_NULL;
  check(MPI_Comm_dup(MPI_COMM_WORLD, &channel), "MPI_Comm_dup");
  check(MPI_Comm_set_errhandler(channel, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");

  ExitCode code = ExitCode::done;
  std::optional<Error> failure = failure_of([&] { code = body(world); });
  if (failure) code = failure->code();
  if (size == 1) {
    if (failure) report(*failure, rank);
    return static_cast<int>(code);
  }

  // With an abandoned reduction MPI may write to freed memory whenever it is given the chance.
  std::vector<int> all;
  if (!reduction_abandoned()) {
    all = endings(channel, static_cast<int>(code) + (failure ? threw_flag : 0), size, failure.has_value());
  }
  const auto first_thrower = std::ranges::find_if(all, [](int e) { return e >= threw_flag; });
  if (first_thrower == all.end() && !failure && !all.empty()) {
    if (std::ranges::all_of(all, [&](int e) { return e == all.front(); })) return static_cast<int>(code);
    failure.emplace("the ranks ended the job with different exit codes", "",
                    "This is a defect in the program: a decision was taken by one rank alone.");
    if (rank == 0) report(*failure, rank);
    abort_job(ExitCode::error);
  }
  if (all.empty() || first_thrower - all.begin() == rank) {
    if (failure) report(*failure, rank);
    abort_job(failure ? failure->code() : ExitCode::error);
  }
  std::this_thread::sleep_for(wait_for_company);  // the reporting rank's abort ends this one
  abort_job(code);
}

void abort_job(ExitCode code) {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
  std::this_thread::sleep_for(time_to_forward_output);
  silence_abort_banner();
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
  std::_Exit(static_cast<int>(code));  // MPI_Abort is allowed to return
}

void abort_hanging_job(ExitCode code, bool leads) {
  // Flushing may wait for a lock that the hanging thread holds, and MPI for anything.
  if (leads) std::thread([code] { abort_job(code); }).detach();
  std::this_thread::sleep_for(time_to_end_a_hanging_job);
  std::_Exit(static_cast<int>(code));
}

}  // namespace tessera::comm
