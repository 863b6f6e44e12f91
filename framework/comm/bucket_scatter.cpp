#include "comm/bucket_scatter.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "comm/ordered_sums.hpp"
#include "comm/summed_gradients.hpp"

namespace tessera::comm {
namespace {

// The next piece is on its way while one is added up; more would only take memory.
constexpr std::size_t flying_at_most = 2;

}  // namespace

BucketScatter::BucketScatter(const Communicator& world, std::shared_ptr<const Sharding> sharding, Tensor sums,
                             std::size_t exchange_bytes)
    : world_(world),
      sharding_(std::move(sharding)),
      sums_(std::move(sums)),
      piece_elements_(std::max<std::size_t>(
          exchange_bytes / size_of(sums_.dtype()) / static_cast<std::size_t>(world.size()), 1)) {
  expect_host_memory("summing gradients");
}

void BucketScatter::start(std::size_t bucket, const Tensor& source, bool add) {
  const std::size_t begin = sharding_->buckets().at(bucket).begin;
  const std::size_t end = begin + static_cast<std::size_t>(source.numel());
  if (source.dtype() != sums_.dtype() || end > sharding_->buckets()[bucket].end) {
    throw Error("gradients of " + std::to_string(source.numel()) + ' ' + name_of(source.dtype()) +
                    " do not fit bucket " + std::to_string(bucket),
                "gradient reduction");
  }
  std::vector<Slice> parts;
  std::size_t longest = 0;
  for (int rank = 0; rank < world_.size(); ++rank) {
    const Slice part = sharding_->part(bucket, rank);
    parts.push_back({std::min(part.begin, end), std::min(part.end, end)});
    longest = std::max(longest, parts.back().size());
  }
  const auto kept = std::make_shared<const Source>(Source{source, begin, add});
  kept_bytes_ += source.bytes();
  for (std::size_t at = 0; at < longest; at += piece_elements_) {
    std::vector<Slice> of_rank;
    for (const Slice part : parts) {
      const std::size_t from = std::min(part.begin + at, part.end);
      of_rank.push_back({from, std::min(from + piece_elements_, part.end)});
    }
    waiting_.push_back({kept, std::move(of_rank), at + piece_elements_ >= longest});
  }
  progress();
}

void BucketScatter::progress() {
  while (!flying_.empty() && flying_.front().exchange.test()) land();
  launch();
}

void BucketScatter::wait_until_kept(std::size_t bytes) {
  while (kept_bytes_ > bytes) {
    launch();
    flying_.front().exchange.wait();
    land();
  }
}

void BucketScatter::launch() {
  const auto me = static_cast<std::size_t>(world_.rank());
  while (flying_.size() < flying_at_most && !waiting_.empty()) {
    Piece piece = std::move(waiting_.front());
    waiting_.pop_front();
    const std::size_t begin = piece.source->begin;
    const std::size_t mine = piece.of_rank[me].size();
    std::vector<Slice> to;
    std::size_t place = 0;
    for (std::size_t rank = 0; rank < piece.of_rank.size(); ++rank) {
      const Slice theirs = rank == me ? Slice{begin, begin} : piece.of_rank[rank];
      to.push_back({theirs.begin - begin, theirs.end - begin});
      piece.places.push_back({place, place + (rank == me ? 0 : mine)});
      place = piece.places.back().end;
    }
    piece.received = Tensor::empty({static_cast<std::int64_t>(place)}, sums_.dtype());
    dispatch_gradient_type(sums_.dtype(), [&]<class T>(T*) {
      piece.exchange =
          world_.start_exchange(piece.source->values.data<T>(), to, piece.received.data<T>(), piece.places);
    });
    flying_.push_back(std::move(piece));
  }
}

void BucketScatter::add_up(const Piece& piece) const {
  const auto me = static_cast<std::size_t>(world_.rank());
  const Slice mine = piece.of_rank[me];
  if (mine.size() == 0) return;
  dispatch_gradient_type(sums_.dtype(), [&]<class T>(T*) {
    T* const sum = sums_.data<T>() + mine.begin;
    std::vector<const T*> sources;
    if (piece.source->add) sources.push_back(sum);
    for (std::size_t rank = 0; rank < piece.of_rank.size(); ++rank) {
      sources.push_back(rank == me ? piece.source->values.data<T>() + (mine.begin - piece.source->begin)
                                   : piece.received.data<T>() + piece.places[rank].begin);
    }
    add_in_order<T>(sources, sum, mine.size());
  });
}

void BucketScatter::land() {
  add_up(flying_.front());
  if (flying_.front().last) kept_bytes_ -= flying_.front().source->values.bytes();
  flying_.pop_front();
  launch();
}

}  // namespace tessera::comm
