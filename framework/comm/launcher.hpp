#pragma once
// Invariant: a job never runs as N jobs of one rank each, all writing to the same files, because the program
// that started it and MPI do not speak to each other (srun without the PMI that MPI was built for, or mpirun
// of another MPI).

#include <functional>
#include <optional>
#include <string>

#include "base/error.hpp"

namespace tessera::comm {

/// The same on every one of the processes: it should be told once.
class SeparateRanks : public Error {
 public:
  using Error::Error;
};

/// Reads the environment: std::getenv, or a test's.
using Variables = std::function<const char*(const char* name)>;

/// The Error for a process that a launcher started as one of several, while MPI knows of one rank only.
/// Nothing when the launcher started one process, or when there was none.
[[nodiscard]] std::optional<SeparateRanks> separate_ranks(const Variables& variable);

/// Whether srun started the process as one of several without any PMI, so that MPI cannot connect them: Open
/// MPI then ends the process within MPI_Init, with a page of text.
[[nodiscard]] bool srun_without_pmi(const Variables& variable);

}  // namespace tessera::comm
