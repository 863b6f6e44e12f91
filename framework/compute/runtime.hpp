#pragma once
// Invariant: tensors have memory and kernels run only while the one Runtime of the process lives. Programs
// make it in main where computing begins; tensors without memory (MetaScope) need none, so `plan` runs on any
// machine.

namespace tessera {

class Runtime {
 public:
  /// @throws Error when this build computes on GPUs and the machine has none that can be used.
  Runtime();
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
};

}  // namespace tessera
