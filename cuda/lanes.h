// Eight floats at once, with the compilers' vector types: AVX where the processor has it, less where it has not.

#pragma once

#include <cstring>

#include "lifting.h"

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace ssgan {

constexpr int kLanes = 8;

typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t IntLanes __attribute__((vector_size(kLanes * sizeof(int32_t))));
typedef uint32_t BitLanes __attribute__((vector_size(kLanes * sizeof(uint32_t))));

template <>
struct Spelling<Lanes> {
  typedef IntLanes Integer;
  static SSGAN_INLINE IntLanes truncated(Lanes value) { return __builtin_convertvector(value, IntLanes); }
  static SSGAN_INLINE Lanes restored(IntLanes value) { return __builtin_convertvector(value, Lanes); }
  static SSGAN_INLINE IntLanes choose_integer(IntLanes which, IntLanes yes, IntLanes no) { return which ? yes : no; }
  static SSGAN_INLINE Lanes splat(float value) {
    return Lanes{value, value, value, value, value, value, value, value};
  }
  static SSGAN_INLINE Lanes choose(IntLanes which, Lanes yes, Lanes no) { return which ? yes : no; }
  static SSGAN_INLINE Lanes power_of_two(Lanes shifted) { return (Lanes)(((BitLanes)shifted + 127u) << 23); }
};

SSGAN_INLINE Lanes load(const float* from) {
  Lanes result;
  std::memcpy(&result, from, sizeof result);
  return result;
}
SSGAN_INLINE void store(float* to, Lanes value) { std::memcpy(to, &value, sizeof value); }
SSGAN_INLINE void add_to(float* to, Lanes value) { store(to, load(to) + value); }

SSGAN_INLINE float sum(Lanes v) { return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7])); }

// One bit a lane of a comparison's result.
SSGAN_INLINE int bits(IntLanes mask) {
#if defined(__AVX__)
  return _mm256_movemask_ps((__m256)mask);
#else
  int result = 0;
  for (int j = 0; j < kLanes; ++j) result |= (mask[j] & 1) << j;
  return result;
#endif
}

}  // namespace ssgan
