#include "tensor/tensor.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "tensor/allocator.hpp"

namespace tessera {
namespace {

Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  std::iota(values.begin(), values.end(), 0.0F);
  return Tensor::from_host(values, shape);
}

TEST(Tensor, UndefinedUntilMade) {
  const Tensor none;
  EXPECT_FALSE(none.defined());
  EXPECT_FALSE(none.is_meta());
  EXPECT_THROW((void)none.data<float>(), Error);
}

TEST(Tensor, HostRoundTripKeepsEveryType) {
  EXPECT_EQ(Tensor::from_host(std::vector<double>{1.5, -2}, {2}).to_host<double>(),
            (std::vector<double>{1.5, -2}));
  EXPECT_EQ(Tensor::from_host(std::vector<std::int64_t>{1LL << 40, -3}, {2}).to_host<std::int64_t>(),
            (std::vector<std::int64_t>{1LL << 40, -3}));
  EXPECT_EQ(Tensor::from_host(std::vector<std::uint8_t>{0, 255}, {1, 2}).to_host<std::uint8_t>(),
            (std::vector<std::uint8_t>{0, 255}));
  const Tensor brief = Tensor::from_host(std::vector<bfloat16>{bfloat16(0.5F)}, {1});
  EXPECT_EQ(brief.dtype(), DType::bf16);
  EXPECT_EQ(static_cast<float>(brief.to_host<bfloat16>()[0]), 0.5F);
  EXPECT_THROW((void)Tensor::from_host(std::vector<float>{1, 2, 3}, {2}), Error);
}

TEST(Tensor, ReadingAnotherTypeIsAnError) {
  const Tensor tensor = counting({2});
  EXPECT_NO_THROW((void)tensor.data<float>());
  EXPECT_THROW((void)tensor.data<double>(), Error);
  EXPECT_THROW((void)tensor.to_host<std::int32_t>(), Error);
}

TEST(Tensor, MemoryIsAlignedToVectors) {
  for (const std::int64_t count : {1, 3, 100, 4097}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(Tensor::empty({count}, DType::u8).raw()) % 64, 0U) << count;
  }
}

TEST(Tensor, CopiesShareMemory) {
  const Tensor first = counting({4});
  const Tensor second = first;
  second.data<float>()[2] = 9;
  EXPECT_EQ(first.to_host<float>()[2], 9);
}

TEST(Tensor, ViewsAndSlicesAreTheSameMemory) {
  const Tensor tensor = counting({4, 2, 3});
  const Tensor flat = tensor.view({24});
  EXPECT_EQ(flat.raw(), tensor.raw());
  EXPECT_THROW((void)tensor.view({25}), Error);

  const Tensor middle = tensor.slice(1, 3);
  EXPECT_TRUE((middle.shape() == Shape{2, 2, 3}));
  EXPECT_EQ(middle.to_host<float>(), (std::vector<float>{6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}));
  middle.data<float>()[0] = -1;
  EXPECT_EQ(flat.to_host<float>()[6], -1);
  EXPECT_EQ(tensor.slice(4, 4).numel(), 0);
  EXPECT_EQ(tensor.slice(1, 4).slice(1, 2).to_host<float>()[0], 12);
  EXPECT_THROW((void)tensor.slice(3, 5), Error);
  EXPECT_THROW((void)tensor.slice(-1, 2), Error);
  EXPECT_THROW((void)tensor.slice(3, 2), Error);
  EXPECT_THROW((void)Tensor::zeros({}, DType::f32).slice(0, 1), Error);
}

TEST(Tensor, AViewKeepsTheMemoryAlive) {
  Tensor tensor = counting({6});
  const Tensor view = tensor.slice(2, 4);
  tensor = Tensor();
  EXPECT_EQ(view.to_host<float>(), (std::vector<float>{2, 3}));
}

TEST(Tensor, ZerosFillAndCopy) {
  const Tensor tensor = counting({5});
  EXPECT_EQ(Tensor::zeros({3}, DType::f64).to_host<double>(), (std::vector<double>(3, 0)));
  const Tensor other = Tensor::zeros({5, 1}, DType::f32);
  other.copy_from(tensor);
  EXPECT_EQ(other.to_host<float>(), tensor.to_host<float>());
  EXPECT_NE(other.raw(), tensor.raw());
  tensor.slice(1, 3).fill_zero();
  EXPECT_EQ(tensor.to_host<float>(), (std::vector<float>{0, 0, 0, 3, 4}));
  EXPECT_THROW(other.copy_from(counting({4})), Error);
  EXPECT_THROW(other.copy_from(Tensor::zeros({5}, DType::f64)), Error);
}

TEST(Tensor, WrapsForeignMemoryAndHoldsItsOwner) {
  std::vector<float> memory = {1, 2, 3};
  auto owner = std::make_shared<int>(7);
  const std::weak_ptr<int> watch = owner;
  {
    const Tensor tensor = Tensor::wrap(memory.data(), {3}, DType::f32, std::move(owner));
    EXPECT_EQ(tensor.data<float>()[1], 2);
    const Tensor part = tensor.slice(0, 1);
    EXPECT_FALSE(watch.expired());
  }
  EXPECT_TRUE(watch.expired());
}

TEST(Tensor, MetaHasAShapeAndNoMemory) {
  const std::size_t before = memory_statistics().current;
  const Tensor tensor = Tensor::meta({1 << 20, 1 << 10}, DType::f32);
  EXPECT_TRUE(tensor.is_meta());
  EXPECT_EQ(tensor.bytes(), std::size_t{4} << 30);
  EXPECT_TRUE(tensor.slice(1, 3).is_meta());
  EXPECT_TRUE(tensor.view({1 << 30}).is_meta());
  EXPECT_NO_THROW(tensor.fill_zero());
  EXPECT_THROW((void)Tensor::meta({3}, DType::f32).to_host<float>(), Error);
  EXPECT_EQ(memory_statistics().current, before);
}

TEST(Tensor, MetaScopeNestsAndIsOfOneThread) {
  {
    const MetaScope outer;
    EXPECT_TRUE(Tensor::empty({2}, DType::f32).is_meta());
    { const MetaScope inner; }
    EXPECT_TRUE(Tensor::zeros({2}, DType::f32).is_meta());
    bool meta_elsewhere = true;
    std::thread([&] { meta_elsewhere = MetaScope::active(); }).join();
    EXPECT_FALSE(meta_elsewhere);
  }
  EXPECT_FALSE(MetaScope::active());
  EXPECT_FALSE(Tensor::empty({2}, DType::f32).is_meta());
}

TEST(Tensor, StatisticsCountOwnedBytesOnceAndKeepThePeak) {
  const std::size_t before = memory_statistics().current;
  reset_peak_memory();
  {
    const Tensor tensor = Tensor::empty({1000}, DType::f64);
    const Tensor same = tensor;
    const Tensor part = tensor.slice(0, 10);
    EXPECT_EQ(memory_statistics().current, before + 8000);
  }
  EXPECT_EQ(memory_statistics().current, before);
  EXPECT_EQ(memory_statistics().peak, before + 8000);
  reset_peak_memory();
  EXPECT_EQ(memory_statistics().peak, before);
}

TEST(Tensor, ImpossibleSizesGiveAnErrorThatNamesThem) {
  EXPECT_THROW((void)Tensor::empty({std::int64_t{1} << 50}, DType::f32), Error);
}

}  // namespace
}  // namespace tessera
