// structure_check ROOT: exit code 1, and a line for each, when the source tree breaks its own rules. Before
// that the rules are tried on a small tree with known breaches, so that silence means something.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "rules.hpp"

namespace {

namespace fs = std::filesystem;

void put(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

/// @return what is wrong with the rules; empty when they find what they should and nothing else.
std::vector<std::string> try_rules() {
  const fs::path root =
      fs::temp_directory_path() / ("tessera-structure-" + std::to_string(static_cast<long>(::getpid())));
  fs::remove_all(root);
  const std::string too_long(501, '\n');
  put(root / "framework/base/error.hpp", "#pragma once\n");
  put(root / "framework/io/png.hpp", "#include \"base/error.hpp\"\n#include <vector>\n");
  put(root / "framework/base/bad.cpp", "#include \"base/error.hpp\"\n  #  include \"io/png.hpp\"\n");
  put(root / "framework/io/relative.cpp", "#include \"png.hpp\"\n");
  put(root / "framework/io/upwards.cpp", "#include \"launch/main.hpp\"\n");
  put(root / "framework/extra/odd.cpp", "#include \"base/error.hpp\"\n");
  put(root / "framework/io/long.cpp", too_long);
  put(root / "framework/io/long_with_reason.cpp", "// Over 500 lines because it is a table.\n" + too_long);
  put(root / "framework/tensor/space.hpp", "#include <Kokkos_Core.hpp>\n");
  put(root / "framework/tensor/kokkos.cpp", "#include <Kokkos_Core.hpp>\n");
  put(root / "framework/compute/parallel.hpp", "#include \"tensor/space.hpp\"\n");
  put(root / "framework/ops/kernels.hpp", "#include \"compute/parallel.hpp\"\n");
  put(root / "framework/ops/good.cpp", "#include \"compute/parallel.hpp\"\n#include \"ops/kernels.hpp\"\n");
  put(root / "framework/ops/silent.cpp", "#include \"ops/kernels.hpp\"\n");
  put(root / "framework/ops/left_out_host.cpp", "#include \"ops/kernels.hpp\"\n");
  put(root / "tests/unit/silent.cpp", "#include \"kernels_of_test.hpp\"\n");
  put(root / "tests/unit/kernels_of_test.hpp", "#include \"ops/kernels.hpp\"\n");
  put(root / "plugins/one/own.hpp", "#pragma once\n");
  put(root / "plugins/one/good.cpp", "#include \"io/png.hpp\"\n#include \"own.hpp\"\n");
  put(root / "plugins/two/bad.cpp", "#include \"../one/own.hpp\"\n#include \"own.hpp\"\n");
  put(root / "datasets/source.hpp", "#include \"io/png.hpp\"\n");
  put(root / "launch/main.hpp", "#include \"datasets/source.hpp\"\n#include \"io/png.hpp\"\n");
  put(root / "datasets/bad.cpp", "#include \"launch/main.hpp\"\n");

  const std::vector<std::string> expected{
      "datasets/bad.cpp:1:",         "framework/base/bad.cpp:2:",      "framework/extra/odd.cpp:1:",
      "framework/io/long.cpp:",      "framework/io/relative.cpp:1:",   "framework/io/upwards.cpp:1:",
      "framework/ops/silent.cpp:1:", "framework/tensor/kokkos.cpp:1:", "plugins/two/bad.cpp:1:",
      "plugins/two/bad.cpp:2:",      "tests/unit/silent.cpp:1:",
  };
  const std::vector<std::string> found = tessera::structure::breaches(root);
  fs::remove_all(root);
  std::vector<std::string> wrong;
  for (std::size_t i = 0; i < std::max(expected.size(), found.size()); ++i) {
    const std::string want = i < expected.size() ? expected[i] : "nothing more";
    const std::string have = i < found.size() ? found[i] : "nothing";
    if (!have.starts_with(want)) wrong.push_back("expected " + want + " but found " + have);
  }
  return wrong;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "structure_check ROOT\n");
    return 2;
  }
  try {
    for (const std::vector<std::string>& found : {try_rules(), tessera::structure::breaches(argv[1])}) {
      for (const std::string& line : found) std::fprintf(stderr, "%s\n", line.c_str());
      if (!found.empty()) return 1;
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "structure_check: %s\n", error.what());
    return 1;
  }
}
