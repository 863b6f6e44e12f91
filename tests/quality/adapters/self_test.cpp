// adapter_check self-test: the measures on pictures whose answer is known.

#include <cstdio>
#include <vector>

#include "checks.hpp"
#include "datasets/emoji/emoji_source.hpp"
#include "edge_agreement.hpp"
#include "io/resize.hpp"
#include "plugin/assembly.hpp"
#include "plugin/slots/control_map.hpp"

namespace tessera::quality {
namespace {

constexpr int side = 32;

io::Image moved(const io::Image& map, int columns) {
  io::Image result(map.width, map.height, {0, 0, 0});
  for (int y = 0; y < map.height; ++y) {
    for (int x = std::max(0, columns); x < map.width; ++x) {
      std::copy_n(map.at(x - columns, y), 3, result.at(x, y));
    }
  }
  return result;
}

/// Edge maps of real pictures: themselves, moved by one pixel and by four, and of each other.
bool edges_are_told_apart() {
  const Registry registry = Registry::with_installed_plugins();
  Assembly assembly(registry, ConfigTree::parse("control.name = \"canny\"", "self-test"));
  const auto control = assembly.make<ControlMap>("control", {});
  datasets::emoji::Options options;
  options.subset = "quickstart";
  const datasets::emoji::EmojiSource source(options);
  std::vector<io::Image> maps;
  for (std::size_t i = 0; i < source.size(); i += 4) {
    maps.push_back(control->extract(io::resize_and_crop(source.load(i), {side, side})));
  }
  double itself = 0, one = 0, four = 0, other = 0, exactly_one = 0;
  for (std::size_t i = 0; i < maps.size(); ++i) {
    itself += edge_agreement(maps[i], maps[i]).f1();
    one += edge_agreement(moved(maps[i], 1), maps[i]).f1();
    exactly_one += edge_agreement(moved(maps[i], 1), maps[i], 0).f1();
    four += edge_agreement(moved(maps[i], 4), maps[i]).f1();
    other += edge_agreement(maps[(i + maps.size() / 2) % maps.size()], maps[i]).f1();
  }
  const auto count = static_cast<double>(maps.size());
  std::printf(
      "edge F1 of %zu real maps: with themselves %.3f, moved by 1 px %.3f (in the same pixel %.3f), by 4 px "
      "%.3f, with others %.3f\n",
      maps.size(), itself / count, one / count, exactly_one / count, four / count, other / count);
  return itself == count && one > 0.97 * count && exactly_one < 0.5 * count && four < 0.85 * count &&
         other < 0.75 * count;
}

ExitCode run(const launch::Arguments&) { return edges_are_told_apart() ? ExitCode::done : ExitCode::error; }

}  // namespace

launch::Command self_test_check() {
  launch::CommandTable table;
  table.name = "self-test";
  table.summary = "the measures on pictures whose answer is known";
  return {std::move(table), run, {}};
}

}  // namespace tessera::quality
