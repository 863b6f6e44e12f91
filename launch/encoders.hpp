#pragma once
// Invariant: codec, text encoder and control map of a data command are made like those of a run, so that what
// a shard records fits a run whose configuration has the same tables.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "launch/arguments.hpp"
#include "plugin/assembly.hpp"
#include "plugin/slots/codec.hpp"
#include "plugin/slots/control_map.hpp"
#include "plugin/slots/text_encoder.hpp"

namespace tessera::launch {

/// --config, --codec, --text-encoder, --set.
[[nodiscard]] std::vector<Option> encoder_options();

class EncoderChoice {
 public:
  /// The tables [codec], [text_encoder] and [control] of the --config files, the names and --set laid over
  /// them; the codec `codec`, the text encoder "word-hash" and no control map where nothing names another.
  /// @throws Error (usage) when --set names another table.
  EncoderChoice(const Arguments& arguments, const Registry& registry, const std::string& command,
                const std::string& codec = "pixel");

  [[nodiscard]] std::unique_ptr<Codec> make_codec() { return assembly_.make<Codec>("codec", {}); }
  [[nodiscard]] std::unique_ptr<TextEncoder> make_text_encoder() {
    return assembly_.make<TextEncoder>("text_encoder", {});
  }
  /// Null when no map is wanted.
  [[nodiscard]] std::unique_ptr<ControlMap> make_control() {
    return assembly_.make_optional<ControlMap>("control", {});
  }
  /// Pixels along a side of the square that one token stands for, as RunComponents::token_side() of the run;
  /// nothing when the --config files have no [model.backbone].
  [[nodiscard]] std::optional<std::int64_t> token_side(const Codec& codec, const TextEncoder& text_encoder);

 private:
  ConfigTree run_;  // of the --config files
  Assembly assembly_;
};

}  // namespace tessera::launch
