#include "nn/attention.hpp"

namespace tessera::nn {
namespace {

ops::AttentionOptions options_of(const AttentionSpec& spec) {
  if (spec.head_dim <= 0 || spec.qkv_width % spec.head_dim != 0) {
    throw Error("the attention width " + std::to_string(spec.qkv_width) +
                    " is not a multiple of the head size " + std::to_string(spec.head_dim),
                {}, "choose a width that head_dim divides");
  }
  return {spec.qkv_width / spec.head_dim, spec.normalise_qk, spec.norm_eps, spec.norm_each_head};
}

}  // namespace

SelfAttention::SelfAttention(const AttentionSpec& spec)
    : options_(options_of(spec)),
      qkv_(spec.width, 3 * spec.qkv_width, spec.bias, spec.input),
      projection_(spec.qkv_width, spec.width, spec.bias, spec.output) {
  add_child("qkv", qkv_);
  add_child("proj", projection_);
}

ops::Variable SelfAttention::forward(const ops::Variable& x) const {
  return projection_.forward(ops::self_attention(qkv_.forward(x), options_));
}

CrossAttention::CrossAttention(const AttentionSpec& spec)
    : options_(options_of(spec)),
      query_(spec.width, spec.qkv_width, spec.bias, spec.input),
      key_value_(spec.width, 2 * spec.qkv_width, spec.bias, spec.input),
      projection_(spec.qkv_width, spec.width, spec.bias, spec.output) {
  add_child("q_linear", query_);
  add_child("kv_linear", key_value_);
  add_child("proj", projection_);
}

ops::Variable CrossAttention::forward(const ops::Variable& x, const Context& context) const {
  return projection_.forward(
      ops::cross_attention(query_.forward(x), key_value_.forward(context.tokens), context.offsets, options_));
}

}  // namespace tessera::nn
