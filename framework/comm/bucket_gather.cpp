#include "comm/bucket_gather.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tessera::comm {
namespace {

constexpr std::size_t flying_at_most = 4;

std::byte* at(const Tensor& arena, std::size_t element) {
  return static_cast<std::byte*>(arena.raw()) + element * size_of(arena.dtype());
}

Slice common(Slice a, Slice b) {
  const std::size_t begin = std::clamp(b.begin, a.begin, a.end);
  return {begin, std::clamp(b.end, begin, a.end)};
}

}  // namespace

BucketGather::BucketGather(const Communicator& world, const Communicator& sharers,
                           std::shared_ptr<const Sharding> sharding)
    : sharers_(sharers),
      sharding_(std::move(sharding)),
      lane_(world.split(sharers.rank(), sharding_->holders().mine)) {
  expect_host_memory("gathering parameters");
}

void BucketGather::start(std::size_t bucket, const std::vector<Segment>& segments) {
  // Lanes beyond the smallest holder's ranks do not reach all holders.
  const auto lane = bucket % static_cast<std::size_t>(sharding_->holders().fewest());
  if (segments.empty() || lane != static_cast<std::size_t>(sharers_.rank())) return;
  if (flying_.size() >= flying_at_most) {
    flying_.front().exchange.wait();
    land();
  }
  if (segments.size() > 1) {
    flying_.push_back(packed(bucket, segments));
    return;
  }
  const Segment& only = segments.front();
  std::vector<Slice> parts;
  for (int holder = 0; holder < sharding_->holders().count(); ++holder) {
    const Slice part = common(only.elements, sharding_->holder_part(bucket, holder));
    parts.push_back({part.begin - only.elements.begin, part.end - only.elements.begin});
  }
  Message message{segments, bucket};
  message.exchange =
      lane_.start_all_gather(at(only.arena, only.elements.begin), size_of(only.arena.dtype()), parts);
  flying_.push_back(std::move(message));
}

BucketGather::Message BucketGather::packed(std::size_t bucket, const std::vector<Segment>& segments) const {
  Message message{segments, bucket};
  std::size_t bytes = 0;
  for (int holder = 0; holder < sharding_->holders().count(); ++holder) {
    const std::size_t begin = bytes;
    for (const Segment& segment : segments) {
      bytes += common(segment.elements, sharding_->holder_part(bucket, holder)).size() *
               size_of(segment.arena.dtype());
    }
    message.places.push_back({begin, bytes});
  }
  message.packed = Tensor::empty({static_cast<std::int64_t>(bytes)}, DType::u8);
  auto* to = static_cast<std::byte*>(message.packed.raw()) +
             message.places[static_cast<std::size_t>(sharding_->holders().mine)].begin;
  for (const Segment& segment : segments) {
    const Slice part = common(segment.elements, sharding_->holder_part(bucket, sharding_->holders().mine));
    const std::size_t size = part.size() * size_of(segment.arena.dtype());
    std::memcpy(to, at(segment.arena, part.begin), size);
    to += size;
  }
  message.exchange = lane_.start_all_gather(static_cast<std::byte*>(message.packed.raw()), 1, message.places);
  return message;
}

void BucketGather::progress() {
  while (!flying_.empty() && flying_.front().exchange.test()) land();
}

void BucketGather::land() {
  const Message& message = flying_.front();
  for (int holder = 0; message.packed.defined() && holder < sharding_->holders().count(); ++holder) {
    if (holder == sharding_->holders().mine) continue;
    const auto* from = static_cast<const std::byte*>(message.packed.raw()) +
                       message.places[static_cast<std::size_t>(holder)].begin;
    for (const Segment& segment : message.segments) {
      const Slice part = common(segment.elements, sharding_->holder_part(message.bucket, holder));
      const std::size_t size = part.size() * size_of(segment.arena.dtype());
      std::memcpy(at(segment.arena, part.begin), from, size);
      from += size;
    }
  }
  flying_.pop_front();
}

void BucketGather::wait() {
  while (!flying_.empty()) {
    flying_.front().exchange.wait();
    land();
  }
  sharers_.barrier();
}

}  // namespace tessera::comm
