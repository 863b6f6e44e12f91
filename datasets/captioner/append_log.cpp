#include "datasets/captioner/append_log.hpp"

#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>

#include "datasets/record_text.hpp"

namespace tessera::datasets::captioner {
namespace {

/// What a power failure may leave of a line: its beginning, or zeros.
bool is_torn(std::string_view text, std::string_view beginning) {
  return text.starts_with(beginning) || beginning.starts_with(text) ||
         text.find_first_not_of('\0') == std::string_view::npos;
}

/// A process that was killed while it started a child leaves the lock to the child until that runs its
/// program: a moment, in which a locked file means nothing yet.
void lock(const io::File& file) {
  constexpr std::chrono::milliseconds pause{20};
  for (int attempt = 0; ::flock(file.descriptor(), LOCK_EX | LOCK_NB) != 0; ++attempt) {
    if (errno != EWOULDBLOCK && errno != EINTR) throw io::system_error(file.path(), "lock it", errno);
    if (attempt >= 50) {
      throw Error("another process is writing this file", file.path(),
                  "wait until it has ended, or name another file");
    }
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

AppendLog::AppendLog(const std::string& path, std::string_view beginning, const Visitor& visit) {
  if (!std::filesystem::exists(path)) io::replace_file(path, "");
  file_ = io::File::open_update(path);
  lock(file_);
  RecordText text(io::File::open_read(path), path);
  while (const auto record = text.next(/*quotes=*/false)) {
    if (!record->text.ends_with('\n')) {
      if (!is_torn(record->text, beginning)) {
        throw Error("the last line is not one of this command's, and has no end",
                    path + ":" + std::to_string(record->line), "name another file to write to");
      }
      torn_ = record->text.size();
      break;
    }
    visit(record->text.substr(0, record->text.size() - 1), record->line);
    end_ += record->text.size();
  }
  if (torn_ > 0) {
    file_.truncate(end_);
    file_.sync();
  }
}

void AppendLog::append(std::string line) {
  line.push_back('\n');
  file_.write_at(line.data(), line.size(), end_);
  end_ += line.size();
  unsynced_ = true;
}

void AppendLog::sync() {
  if (unsynced_) file_.sync();
  unsynced_ = false;
}

}  // namespace tessera::datasets::captioner
