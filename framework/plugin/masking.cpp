#include "plugin/slots/masking.hpp"

namespace tessera {

std::int64_t Masking::kept_tokens(std::int64_t tokens, double ratio) {
  return static_cast<std::int64_t>(static_cast<double>(tokens) * (1.0 - ratio));
}

TokenMask make_token_mask(const Masking& masking, const std::vector<float>& uniform, std::int64_t batch,
                          std::int64_t rows, std::int64_t columns, std::int64_t kept) {
  const std::int64_t tokens = rows * columns;
  std::vector<std::int32_t> order;
  order.reserve(static_cast<std::size_t>(batch * tokens));
  for (std::int64_t image = 0; image < batch; ++image) {
    const std::vector<std::int32_t> one = masking.order(uniform.data() + image * tokens, rows, columns, kept);
    order.insert(order.end(), one.begin(), one.end());
  }
  return make_token_mask(order, batch, tokens, kept);
}

TokenMask make_token_mask(const std::vector<std::int32_t>& order, std::int64_t batch, std::int64_t tokens,
                          std::int64_t kept) {
  std::vector<std::int32_t> keep(static_cast<std::size_t>(batch * kept));
  std::vector<std::int32_t> restore(static_cast<std::size_t>(batch * tokens));
  std::vector<float> removed(static_cast<std::size_t>(batch * tokens));
  for (std::int64_t image = 0; image < batch; ++image) {
    for (std::int64_t place = 0; place < tokens; ++place) {
      const std::int32_t token = order.at(static_cast<std::size_t>(image * tokens + place));
      const auto index = static_cast<std::size_t>(image * tokens + token);
      restore.at(index) = static_cast<std::int32_t>(place);
      removed.at(index) = place < kept ? 0.0F : 1.0F;
      if (place < kept) keep[static_cast<std::size_t>(image * kept + place)] = token;
    }
  }
  TokenMask mask;
  mask.kept = kept;
  mask.keep = Tensor::from_host(keep, {batch, kept});
  mask.restore = Tensor::from_host(restore, {batch, tokens});
  mask.removed = Tensor::from_host(removed, {batch, tokens});
  return mask;
}

}  // namespace tessera
