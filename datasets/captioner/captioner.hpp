#pragma once
// Invariant: a record in the output is a picture whose caption was made, written once; whatever happens to
// this process, the next call makes the missing ones and no other. Failures are kept beside the output, so
// that a picture which cannot be captioned is not tried for ever.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "datasets/captioner/ledger.hpp"

namespace tessera::datasets::captioner {

struct Report {
  std::uint64_t rows = 0;       ///< of the captions file
  std::uint64_t repeated = 0;   ///< of those, rows with the image and the caption of an earlier one
  std::uint64_t before = 0;     ///< captioned by earlier calls
  std::uint64_t captioned = 0;  ///< captioned by this call
  std::uint64_t failed = 0;     ///< failed in this call
  std::uint64_t torn = 0;       ///< bytes of a torn record that were removed first
  Ledger::Totals totals;        ///< after this call
  struct Example {
    std::string image;
    Ledger::Failed failed;
  };
  std::vector<Example> examples;  ///< up to 20 pictures that failed in this call or were given up before
};

struct Options {
  std::filesystem::path images;                ///< image paths in the captions file are relative to it
  std::filesystem::path captions;              ///< see folder/captions_file.hpp
  std::string command;                         ///< see CommandTemplate; its standard output is the caption
  std::string out;                             ///< see Ledger
  std::size_t jobs = 1;                        ///< commands at a time
  std::chrono::milliseconds timeout{300'000};  ///< for one picture
  unsigned retries = 2;                        ///< how often later calls try a picture again that failed
  std::uint64_t limit = 0;                     ///< start at most so many commands; 0 = no limit
  /// Asked some times a second: when true, running commands are ended, and no more are started. May be empty.
  std::function<bool()> stop;
  /// Told of the counts so far after each picture. May be empty.
  std::function<void(const Report&)> progress;
};

/// Runs the command for every row of the captions file that has no caption yet. The command also gets the
/// variables TESSERA_IMAGE and TESSERA_CAPTION; the latter is empty for a caption above 100 KB, because the
/// system lets no variable hold it. White space around the answer is dropped. Main thread only.
/// @throws Error when the command cannot be run at all, a file is not what it should be, or the disk says no.
Report caption_images(const Options& options);

}  // namespace tessera::datasets::captioner
