// Products of tensor cores on the emulator against plain double loops, and mistakes planted in how lanes call them.
#include "cuda/kernels/tensor_cores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "cuda/kernels/bundles.cuh"
#include "support/random.h"
#include "support/sanitizers.h"
#include "support/thread_orders.h"
#include "support/throws.h"

namespace squish::cuda {
namespace {

using emulator::KernelError;
using emulator::ScopedOptions;
using testing::kThreadOrders;
using testing::Random;
using testing::throws;

constexpr unsigned kThreads = 96, kWarps = kThreads / 32;
constexpr int kRows = 16, kColumns = 8, kSteps = 3;  // products of one warp, each added to the one before

enum class Bug { kNone, kLaneMissing, kTransposed };

uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

uint32_t high_of(float value) {
  uint32_t high, low;
  split(value, &high, &low);
  return high;
}

// What the two kinds of product do not share. Values come rounded to what their operands hold.
struct F16 {
  static constexpr int kDepth = 16;
  static float rounded(float value) { return __half2float(__float2half(value)); }
  static void multiply(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], SQUISH_SITE) {
    mma_f16(sums, a, b, file, line);
  }
  // at(k) of the register's two values.
  template <typename At>
  static uint32_t load(int t, int half_of_depth, const At& at) {
    const int k = 2 * t + 8 * half_of_depth;
    return __float2half(at(k)).bits | uint32_t{__float2half(at(k + 1)).bits} << 16;
  }
};

struct Tf32 {
  static constexpr int kDepth = 8;
  static float rounded(float value) { return float_of(high_of(value)); }
  static void multiply(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], SQUISH_SITE) {
    mma_tf32(sums, a, b, file, line);
  }
  template <typename At>
  static uint32_t load(int t, int half_of_depth, const At& at) {
    return bits_of(at(t + 4 * half_of_depth)) | 0x1ABC;  // what it must not read
  }
};

struct Task {
  const float *a, *b;  // [kWarps][kSteps][kRows][kDepth], [kWarps][kSteps][kDepth][kColumns]
  float* sums;         // [kWarps][kRows][kColumns]: begun with what is there
};

// As tensor_cores.h lays the matrices out.
template <typename Kind, Bug bug>
__global__ void multiply_matrices(Task task) {
  constexpr int depth = Kind::kDepth;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int g = lane / 4, t = lane % 4;
  if (bug == Bug::kLaneMissing && threadIdx.x == 37) return;
  float* const out = task.sums + warp * kRows * kColumns;
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = out[(g + i / 2 * 8) * kColumns + 2 * t + i % 2];
  for (int s = 0; s < kSteps; ++s) {
    const float* const a = task.a + (warp * kSteps + s) * kRows * depth;
    const float* const b = task.b + (warp * kSteps + s) * depth * kColumns;
    uint32_t a_registers[4], b_registers[2];
    for (int r = 0; r < 4; ++r) {
      const int row = g + r % 2 * 8;
      a_registers[r] = Kind::load(t, r / 2, [&](int k) {
        return bug == Bug::kTransposed ? a[k % kRows * depth + row % depth] : a[row * depth + k];
      });
    }
    for (int r = 0; r < 2; ++r) {
      b_registers[r] = Kind::load(t, r, [&](int k) { return b[k * kColumns + g]; });
    }
    Kind::multiply(sums, a_registers, b_registers);
  }
  for (int i = 0; i < 4; ++i) out[(g + i / 2 * 8) * kColumns + 2 * t + i % 2] = sums[i];
}

// Random matrices of all warps, and the largest error of the kernel's sums.
template <typename Kind>
class Matrices {
 public:
  Matrices() : a_(kWarps * kSteps * kRows * kDepth), b_(kWarps * kSteps * kDepth * kColumns) {
    Random random(Kind::kDepth);
    for (float& value : a_) value = Kind::rounded(random.value());
    for (float& value : b_) value = Kind::rounded(random.value());
    for (float& sum : begun_) sum = random.value();
  }

  template <Bug bug = Bug::kNone>
  double error() const {
    std::vector<float> got = begun_;
    launch(multiply_matrices<Kind, bug>, 1, kThreads, 0, nullptr, Task{a_.data(), b_.data(), got.data()});
    const std::vector<float> wanted = product();
    double largest = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      largest = std::max(largest, std::abs(double{got[i]} - double{wanted[i]}));
    }
    return largest;
  }

 private:
  static constexpr int kDepth = Kind::kDepth;

  std::vector<float> product() const {
    std::vector<float> sums = begun_;
    for (size_t i = 0; i < sums.size(); ++i) {
      const size_t warp = i / (kRows * kColumns), row = i / kColumns % kRows, column = i % kColumns;
      for (size_t s = 0; s < kSteps; ++s) {
        double sum = 0;
        for (size_t k = 0; k < kDepth; ++k) {
          sum += double{a_[((warp * kSteps + s) * kRows + row) * kDepth + k]} *
                 double{b_[((warp * kSteps + s) * kDepth + k) * kColumns + column]};
        }
        sums[i] = static_cast<float>(double{sums[i]} + sum);
      }
    }
    return sums;
  }

  std::vector<float> a_, b_, begun_ = std::vector<float>(kWarps * kRows * kColumns);
};

template <typename Kind>
class TensorCores : public ::testing::Test {
 protected:
  Matrices<Kind> matrices_;
};
using Kinds = ::testing::Types<F16, Tf32>;
TYPED_TEST_SUITE(TensorCores, Kinds);

TYPED_TEST(TensorCores, MultiplyMatrices) {
  for (auto order : kThreadOrders) {
    const ScopedOptions options({order, 1});
    EXPECT_EQ(this->matrices_.error(), 0);
  }
}

TYPED_TEST(TensorCores, ShowAWrongLayout) {
  EXPECT_GT(this->matrices_.template error<Bug::kTransposed>(), 0.1);
}

TYPED_TEST(TensorCores, RejectAWarpThatIsNotWhole) {
  for (auto order : kThreadOrders) {
    const ScopedOptions options({order, 1});
    const auto missing = [&] { this->matrices_.template error<Bug::kLaneMissing>(); };
    EXPECT_TRUE(throws<KernelError>(missing, "of mask 0xffffffff waits for lanes 0x00000020"));
    EXPECT_TRUE(throws<KernelError>(missing, "tensor_cores_test.cc:"));
    EXPECT_EQ(this->matrices_.error(), 0) << "works after an error";
  }
}

// clang-format off: on one line, where only the products tell the calls apart.
__global__ void different_products(Task) {
  float sums[4] = {};
  const uint32_t a[4] = {}, b[2] = {};
  if (threadIdx.x % 2 == 0) { mma_f16(sums, a, b); } else { mma_tf32(sums, a, b); }
}
// clang-format on

__global__ void different_places(Task) {
  float sums[4] = {};
  const uint32_t a[4] = {}, b[2] = {};
  if (threadIdx.x % 2 == 0) {
    mma_f16(sums, a, b);
  } else {
    mma_f16(sums, a, b);
  }
}

TEST(TensorCoresApart, RejectLanesWithoutACommonProduct) {
  for (auto order : kThreadOrders) {
    const ScopedOptions options({order, 1});
    for (auto kernel : {different_products, different_places}) {
      EXPECT_TRUE(throws<KernelError>([&] { launch(kernel, 1, kThreads, 0, nullptr, Task{}); },
                                      "lanes of one warp operation are at different places"));
    }
  }
}

// Lanes' values in the order of the lanes reversed, with a product between the write and the read. It makes lanes wait, but
// orders no memory.
template <bool synchronised>
__global__ void reverse_lanes(Task task) {
  SQUISH_SHARED(float, values, 32);
  float sums[4] = {};
  const uint32_t a[4] = {}, b[2] = {};
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  mma_f16(sums, a, b);
  if (synchronised) __syncwarp();
  task.sums[threadIdx.x] = values[31 - threadIdx.x];
}

template <bool synchronised>
void run_reverse_lanes() {
  float out[32];
  launch(reverse_lanes<synchronised>, 1, 32, 0, nullptr, Task{nullptr, nullptr, out});
  for (int l = 0; l < 32; ++l) EXPECT_EQ(out[l], static_cast<float>(31 - l));
}

TEST(TensorCoresDeathTest, ReportMemoryThatAProductDoesNotOrder) {
  SQUISH_SKIP_WITHOUT_TSAN();
  run_reverse_lanes<true>();
  EXPECT_EXIT((run_reverse_lanes<false>(), std::exit(0)), ::testing::ExitedWithCode(66), "data race");
}

struct ByteTask {
  const int8_t* a;   // [kWarps][kRows][depth]
  const uint8_t* b;  // [kWarps][depth][kColumns]
  int32_t* sums;     // [kWarps][kRows][kColumns]: begun with what is there
};

template <int depth>
__global__ void multiply_bytes(ByteTask task) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int g = lane / 4, t = lane % 4;
  int32_t* const out = task.sums + warp * kRows * kColumns;
  const int8_t* const a = task.a + warp * kRows * depth;
  const uint8_t* const b = task.b + warp * depth * kColumns;
  int32_t sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = out[(g + i / 2 * 8) * kColumns + 2 * t + i % 2];
  uint32_t rows[depth / 8] = {}, columns[depth / 16] = {};
  for (int part = 0; part < depth / 16; ++part) {
    for (int i = 0; i < 4; ++i) {
      const int k = 16 * part + 4 * t + i;
      for (int r = 0; r < 2; ++r)
        rows[2 * part + r] |= uint32_t{static_cast<uint8_t>(a[(g + 8 * r) * depth + k])} << 8 * i;
      columns[part] |= uint32_t{b[k * kColumns + g]} << 8 * i;
    }
  }
  mma_i8(sums, rows, columns);
  for (int i = 0; i < 4; ++i) out[(g + i / 2 * 8) * kColumns + 2 * t + i % 2] = sums[i];
}

template <int depth>
void check_bytes() {
  Random random(depth);
  std::vector<int8_t> a(kWarps * kRows * depth);
  std::vector<uint8_t> b(kWarps * depth * kColumns);
  std::vector<int32_t> begun(kWarps * kRows * kColumns);
  for (int8_t& value : a) value = static_cast<int8_t>(random.between(-128, 127));
  for (uint8_t& value : b) value = static_cast<uint8_t>(random.between(0, 255));
  for (int32_t& sum : begun)
    sum = random.chance(0.5) ? std::numeric_limits<int32_t>::max() : -random.between(0, 1000);
  std::vector<int32_t> wanted = begun;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const size_t warp = i / (kRows * kColumns), row = i / kColumns % kRows, column = i % kColumns;
    auto sum = static_cast<uint32_t>(wanted[i]);  // wraps around
    for (size_t k = 0; k < depth; ++k)
      sum += static_cast<uint32_t>(a[(warp * kRows + row) * depth + k] *
                                   b[(warp * depth + k) * kColumns + column]);
    wanted[i] = static_cast<int32_t>(sum);
  }
  for (auto order : kThreadOrders) {
    const ScopedOptions options({order, 1});
    std::vector<int32_t> got = begun;
    launch(multiply_bytes<depth>, 1, kThreads, 0, nullptr, ByteTask{a.data(), b.data(), got.data()});
    EXPECT_EQ(got, wanted);
  }
}

TEST(TensorCoresOfBytes, MultiplySignedRowsByUnsignedColumns) {
  check_bytes<16>();
  check_bytes<32>();
}

TEST(Tf32, RoundsTiesAwayFromZero) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  struct {
    float value, rounded;
  } const cases[] = {
      {0, 0},
      {1 + 0x1p-10f, 1 + 0x1p-10f},
      {1 + 0x1p-11f, 1 + 0x1p-10f},
      {1 + 0x1p-11f - 0x1p-23f, 1},
      {1 + 0x3p-11f, 1 + 0x2p-10f},
      {1 + 0x5p-11f, 1 + 0x3p-10f},
      {2 - 0x1p-11f, 2},
      {2 - 0x1p-11f - 0x1p-23f, 2 - 0x1p-10f},
      {std::numeric_limits<float>::max(), kInfinity},
      {kInfinity, kInfinity},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(high_of(c.value), bits_of(c.rounded)) << c.value;
    EXPECT_EQ(high_of(-c.value), bits_of(-c.rounded)) << -c.value;
  }
}

// What tensor cores read of a register.
float read(uint32_t bits) { return float_of(bits & ~0x1FFFu); }

TEST(Tf32, KeepsAllButTheLastBitInTwoParts) {
  Random random(7);
  for (int k = 0; k < 10000; ++k) {
    const float value = std::ldexp(1 + random.value(), random.between(-60, 60)) * (k % 2 == 0 ? 1.0f : -1.0f);
    uint32_t high, low;
    split(value, &high, &low);
    const double least = std::abs(double{value});
    EXPECT_EQ(read(high), float_of(high));
    EXPECT_EQ(float_of(high) + float_of(low), value);
    EXPECT_LE(std::abs(double{float_of(low)}), 0x1p-11 * least) << value;
    EXPECT_LE(std::abs(double{read(high)} + double{read(low)} - double{value}), 0x1p-23 * least) << value;
  }
}

TEST(Tf32, KeepsNan) {
  // Not a number through its last bit alone, and one that a carry makes 0.
  for (uint32_t bits : {0x7F800001u, 0xFF800001u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
    uint32_t high, low;
    split(float_of(bits), &high, &low);
    EXPECT_TRUE(std::isnan(read(high)) || std::isnan(read(low))) << bits;
  }
}

}  // namespace
}  // namespace squish::cuda
