# cmake -DDIR=datasets/emoji -DOUT=header -P embed_lists.cmake: the .txt lists as string literals.
file(READ "${DIR}/held_out.txt" held_out)
file(READ "${DIR}/held_out_pairs.txt" held_out_pairs)
set(subsets "")
file(GLOB files "${DIR}/subsets/*.txt")
list(SORT files)
foreach(path IN LISTS files)
  get_filename_component(name "${path}" NAME_WE)
  file(READ "${path}" text)
  string(APPEND subsets "    {\"${name}\", R\"LIST(${text})LIST\"},\n")
endforeach()
file(WRITE "${OUT}" "#pragma once
#include <string_view>
#include <utility>

namespace tessera::datasets::emoji::texts {
inline constexpr std::string_view held_out = R\"LIST(${held_out})LIST\";
inline constexpr std::string_view held_out_pairs = R\"LIST(${held_out_pairs})LIST\";
inline constexpr std::pair<const char*, std::string_view> subsets[] = {
${subsets}};
}  // namespace tessera::datasets::emoji::texts
")
