#pragma once
// Invariant: a job ends as one. Whatever happens on one rank, every rank ends with the same exit code within
// seconds, and what went wrong is reported once. Only programs in launch/ and tests call these.

#include <functional>

#include "base/error.hpp"
#include "comm/communicator.hpp"

namespace tessera::comm {

/// Runs `body` on every rank and returns the exit code of the job for main to return. Collective; needs an
/// Environment that outlives it.
///
/// When all ranks return the same code, that is the code, and main ends normally (0, or 75 with a
/// checkpoint). When a rank throws, `report(error, rank)` runs there (it should print and flush), and the job
/// is aborted with the error's code: MPI kills the ranks that still compute or wait in a collective. Before
/// that the rank waits two seconds for company, so that an error that all ranks meet alike (a bad
/// configuration) is reported by the lowest rank only. A job of one rank is never aborted: the code is
/// returned.
[[nodiscard]] int guard(const std::function<ExitCode(const Communicator& world)>& body,
                        const std::function<void(const Error& error, int rank)>& report);

/// Ends all ranks at once. What this process printed is flushed first. MPI's own banner is switched off
/// where the library allows it (Open MPI 4), so that the caller's message is the last thing on the screen.
[[noreturn]] void abort_job(ExitCode code);

/// The same for a job whose main thread hangs: for a Watchdog's alarm, on its thread, and never otherwise. It
/// asks MPI to end the ranks, although another thread initialised it: nothing is lost when that fails, for
/// after a few seconds the process ends by itself, and a launcher ends the others when it sees one fail.
/// @param leads  whether this rank asks; others only see to it that they end.
[[noreturn]] void abort_hanging_job(ExitCode code, bool leads);

}  // namespace tessera::comm
