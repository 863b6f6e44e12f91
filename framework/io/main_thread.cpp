#include "io/main_thread.hpp"

#include <unistd.h>

namespace tessera::io {
namespace {

thread_local int roles = 0;

}  // namespace

MainThreadRole::MainThreadRole() { ++roles; }
MainThreadRole::~MainThreadRole() { --roles; }
bool MainThreadRole::held() { return roles > 0 || ::gettid() == ::getpid(); }

}  // namespace tessera::io
