// Built without -fsanitize=thread, like scheduler.cc: it reads and writes what belongs to other lanes.
#include "emulator/tensor_cores.h"

namespace squish::emulator {
namespace {

constexpr int kRows = 16, kColumns = 8, kLanes = 32;

float added(float sum, double products) { return static_cast<float>(double{sum} + products); }
int32_t added(int32_t sum, int32_t products) {
  return static_cast<int32_t>(static_cast<uint32_t>(sum) + static_cast<uint32_t>(products));
}

// sums += A B, of what the lanes hold.
template <typename Sum, int depth, typename Value>
void multiply(void* const lanes[], const Value (&a)[kRows][depth], const Value (&b)[depth][kColumns]) {
  for (int row = 0; row < kRows; ++row) {
    Value products[kColumns] = {};
    for (int k = 0; k < depth; ++k) {
      for (int column = 0; column < kColumns; ++column) products[column] += a[row][k] * b[k][column];
    }
    for (int column = 0; column < kColumns; ++column) {
      auto* const lane = static_cast<Fragments<Sum>*>(lanes[row % 8 * 4 + column / 2]);
      Sum& sum = lane->sums[row / 8 * 2 + column % 2];
      sum = added(sum, products[column]);
    }
  }
}

template <int depth>
void multiply_bytes(void* const lanes[]) {
  int32_t a[kRows][depth], b[depth][kColumns];
  for (int l = 0; l < kLanes; ++l) {
    const auto* const lane = static_cast<const Fragments<int32_t>*>(lanes[l]);
    const int g = l / 4, t = l % 4;
    for (int part = 0; part < depth / 16; ++part) {
      for (int i = 0; i < 4; ++i) {
        const int k = 16 * part + 4 * t + i;
        for (int r = 0; r < 2; ++r) a[g + 8 * r][k] = static_cast<int8_t>(lane->a[2 * part + r] >> 8 * i);
        b[k][g] = static_cast<uint8_t>(lane->b[part] >> 8 * i);
      }
    }
  }
  multiply<int32_t>(lanes, a, b);
}

double half_of(uint32_t bits, int which) {
  return double{float_from_half(static_cast<uint16_t>(bits >> (16 * which)))};
}

double tf32_of(uint32_t bits) {
  bits &= ~0x1FFFu;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return double{value};
}

}  // namespace

void multiply_f16(void* const lanes[]) {
  double a[kRows][16], b[16][kColumns];
  for (int l = 0; l < kLanes; ++l) {
    const auto* const lane = static_cast<const Fragments<float>*>(lanes[l]);
    const int g = l / 4, t = l % 4;
    for (int half = 0; half < 2; ++half) {
      for (int r = 0; r < 4; ++r) a[g + r % 2 * 8][2 * t + r / 2 * 8 + half] = half_of(lane->a[r], half);
      for (int r = 0; r < 2; ++r) b[2 * t + r * 8 + half][g] = half_of(lane->b[r], half);
    }
  }
  multiply<float>(lanes, a, b);
}

void multiply_tf32(void* const lanes[]) {
  double a[kRows][8], b[8][kColumns];
  for (int l = 0; l < kLanes; ++l) {
    const auto* const lane = static_cast<const Fragments<float>*>(lanes[l]);
    const int g = l / 4, t = l % 4;
    for (int r = 0; r < 4; ++r) a[g + r % 2 * 8][t + r / 2 * 4] = tf32_of(lane->a[r]);
    for (int r = 0; r < 2; ++r) b[t + r * 4][g] = tf32_of(lane->b[r]);
  }
  multiply<float>(lanes, a, b);
}

void multiply_16_bytes(void* const lanes[]) { multiply_bytes<16>(lanes); }
void multiply_32_bytes(void* const lanes[]) { multiply_bytes<32>(lanes); }

}  // namespace squish::emulator
