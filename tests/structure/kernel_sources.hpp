#pragma once
// Invariant: a CUDA build tells from a source's own text what nvcc has to compile
// (cmake/TesseraKokkos.cmake); the rule here finds the sources whose text says too little, on machines
// without CUDA too.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::structure {

/// The path of an include in quotes; includes in angle brackets are other people's headers.
[[nodiscard]] std::optional<std::string> quoted_include(std::string_view line);

/// Breaches, as "file:line: what", of:
///  - only tensor/space.hpp includes a header of Kokkos;
///  - a .cpp file that includes it, through whatever headers, includes it or compute/parallel.hpp by itself.
///    Exempt are files *_host.cpp, which a CUDA build leaves out.
[[nodiscard]] std::vector<std::string> kernel_breaches(const std::filesystem::path& root);

}  // namespace tessera::structure
