// The maths of the analytic lifting, free of any framework and of any device: what ssgan_core/rendering/reference.py
// defines. F is float, or on a CPU a vector of them (lanes.h); nothing branches on values, so both read the same. The CPU
// kernel (lifting_rays.h) and the CUDA kernels (lifting_warp.h) are made of it.
//
// Along a ray q = (z - depth) / width is taken as linear between segment boundaries. With g(q) = exp(-q^2 / 2) and its
// integral E(q) from 0 to q, a segment's optical depth is amplitude * length * (E(q1) - E(q0)) / (q1 - q0).

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define SSGAN_INLINE __host__ __device__ __forceinline__
#else
#define SSGAN_INLINE inline __attribute__((always_inline))
#endif

namespace ssgan {

// The slab reaches this many widths beyond the depth bounds; feature terms of less weight than the epsilon are left
// out; coarse weights give the spread to either neighbour and are raised by the floor. All are the reference's.
constexpr float kMarginWidths = 3.0f;
constexpr float kFeatureEpsilon = 1e-6f;
constexpr float kResamplingSpread = 0.2f;
constexpr float kResamplingFloor = 0.003f;

// Beyond this |q| single precision cannot tell E from its limit.
constexpr float kSaturated = 5.7f;
constexpr float kHalfIntegral = 1.2533141373155003f;  // sqrt(pi / 2), E at infinity
constexpr float kPeakPerDepth = 0.3989422804014327f;  // 1 / sqrt(2 pi), density at the sheet times width / kappa

// The operations that float and vectors of them spell differently.
template <typename F>
struct Spelling;

template <>
struct Spelling<float> {
  typedef int Integer;
  static SSGAN_INLINE int truncated(float value) { return static_cast<int>(value); }
  static SSGAN_INLINE float restored(int value) { return static_cast<float>(value); }
  static SSGAN_INLINE int choose_integer(bool which, int yes, int no) { return which ? yes : no; }
  static SSGAN_INLINE float splat(float value) { return value; }
  static SSGAN_INLINE float choose(bool which, float yes, float no) { return which ? yes : no; }
  static SSGAN_INLINE float power_of_two(float shifted) {
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;
    memcpy(&shifted, &bits, sizeof bits);
    return shifted;
  }
};

template <typename F>
SSGAN_INLINE F splat(float value) {
  return Spelling<F>::splat(value);
}
template <typename Mask, typename F>
SSGAN_INLINE F choose(Mask which, F yes, F no) {
  return Spelling<F>::choose(which, yes, no);
}
template <typename F>
SSGAN_INLINE F least(F a, F b) {
  return choose(a < b, a, b);
}
template <typename F>
SSGAN_INLINE F most(F a, F b) {
  return choose(a > b, a, b);
}
template <typename F>
SSGAN_INLINE F magnitude(F a) {
  return most(a, -a);
}

// exp(x) for x <= 0 within 1e-7 relative (on a GPU, from its own instruction, within 1e-6 where the value exceeds 1e-6);
// the least value is exp(-87), still a normal number.
template <typename F>
SSGAN_INLINE F exp_negative(F x) {
  x = most(x, splat<F>(-87.0f));
#if defined(__CUDA_ARCH__)
  return __expf(x);
#else
  const F shifted = x * 1.44269504f + 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer in the low bits
  const F k = shifted - 12582912.0f;
  const F r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
  F p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * Spelling<F>::power_of_two(shifted);
#endif
}

// exp(-tau) for an optical depth, and nothing at all beyond what single precision tells from nothing.
template <typename F>
SSGAN_INLINE F transmitted(F tau) {
  return choose(tau > splat<F>(87.0f), splat<F>(0.0f), exp_negative(-tau));
}

// E(q) within 4e-7 and monotone; also hands out g(q). From E's complement, g times Mills' ratio, whose rational
// approximation (own minimax fit over 0 <= |q| <= kSaturated) adds 2e-9.
template <typename F>
SSGAN_INLINE F gaussian_integral(F q, F& g) {
  const F a = least(magnitude(q), splat<F>(kSaturated));
  g = exp_negative(a * a * -0.5f);
  F top = a * 2.651773262e-02f + 2.250940797e-01f;
  top = top * a + 7.650800470e-01f;
  top = top * a + 1.253314136e+00f;
  F bottom = a * 2.657787874e-02f + 2.238726172e-01f;
  bottom = bottom * a + 8.032857238e-01f;
  bottom = bottom * a + 1.408330001e+00f;
  bottom = bottom * a + 1.0f;
  const F e = kHalfIntegral - g * top / bottom;
  return choose(q < splat<F>(0.0f), -e, e);
}

// Whether a segment touches the sheet; if not, its optical depth is zero.
template <typename F>
SSGAN_INLINE auto meets_sheet(F q0, F q1) {
  return (least(q0, q1) <= splat<F>(kSaturated)) & (most(q0, q1) >= splat<F>(-kSaturated));
}

// Under this step h = q1 - q0 the mean is taken from its series about the midpoint m, Hermite polynomials He_2, He_4
// and He_6 of m times h^2 / 24, h^4 / 1920 and h^6 / 322560: what is left out is under 5e-9 there, and a difference of
// integrals would lose digits, most of all in the derivatives.
constexpr float kSmallStep = 0.5f;
// Squares m^2 beyond which g is zero are cut off, before their powers overflow.
constexpr float kMostSquare = 170.0f;

// Mean of g over q0..q1, given E at both.
template <typename F>
SSGAN_INLINE F mean_gaussian(F q0, F q1, F e0, F e1) {
  const F h = q1 - q0;
  const F h2 = h * h;
  const F m = (q0 + q1) * 0.5f;
  const F s = least(m * m, splat<F>(kMostSquare));
  const F he2 = s - 1.0f;
  const F he4 = (s - 6.0f) * s + 3.0f;
  const F he6 = ((s - 15.0f) * s + 45.0f) * s - 15.0f;
  const F bend = h2 * (1.0f / 24) * (he2 + h2 * (1.0f / 80) * (he4 + h2 * (1.0f / 168) * he6));
  const F series = exp_negative(s * -0.5f) * (bend + 1.0f);
  const auto small = magnitude(h) < splat<F>(kSmallStep);
  return choose(small, series, (e1 - e0) / choose(small, splat<F>(1.0f), h));
}

// Derivatives of the mean by q0 and q1, given the mean itself and g at both.
template <typename F>
SSGAN_INLINE void mean_gaussian_slopes(F q0, F q1, F mean, F g0, F g1, F& by_q0, F& by_q1) {
  const F h = q1 - q0;
  const F h2 = h * h;
  const F m = (q0 + q1) * 0.5f;
  const F s = least(m * m, splat<F>(kMostSquare));
  const F g = exp_negative(s * -0.5f);
  const F he2 = s - 1.0f;
  const F he3 = s - 3.0f;  // He_3, He_5 and He_7 over m
  const F he4 = (s - 6.0f) * s + 3.0f;
  const F he5 = (s - 10.0f) * s + 15.0f;
  const F he6 = ((s - 15.0f) * s + 45.0f) * s - 15.0f;
  const F he7 = ((s - 21.0f) * s + 105.0f) * s - 105.0f;
  const F half_by_m =
      g * m * -0.5f * (h2 * (1.0f / 24) * (he3 + h2 * (1.0f / 80) * (he5 + h2 * (1.0f / 168) * he7)) + 1.0f);
  const F by_h = g * h * (1.0f / 12) * (he2 + h2 * (1.0f / 40) * (he4 + h2 * (1.0f / 112) * he6));
  const auto small = magnitude(h) < splat<F>(kSmallStep);
  const F per_step = 1.0f / choose(small, splat<F>(1.0f), h);
  by_q0 = choose(small, half_by_m - by_h, (mean - g0) * per_step);
  by_q1 = choose(small, half_by_m + by_h, (g1 - mean) * per_step);
}

// Under this optical depth (1 - exp(-tau)) / tau is taken from its series, of which eight terms leave out 1e-8.
constexpr float kSmallTau = 0.5f;

// (1 - exp(-tau)) / tau, given exp(-tau).
template <typename F>
SSGAN_INLINE F absorbed_per_tau(F tau, F passed) {
  F series = 1.0f - tau * (1.0f / 8);
  series = 1.0f - tau * (1.0f / 7) * series;
  series = 1.0f - tau * (1.0f / 6) * series;
  series = 1.0f - tau * (1.0f / 5) * series;
  series = 1.0f - tau * (1.0f / 4) * series;
  series = 1.0f - tau * (1.0f / 3) * series;
  series = 1.0f - tau * (1.0f / 2) * series;
  const auto small = tau < splat<F>(kSmallTau);
  return choose(small, series, (1.0f - passed) / choose(small, splat<F>(1.0f), tau));
}

// Its derivative, given its value and exp(-tau); the series is the sum over n >= 1 of n (-1)^n tau^(n-1) / (n + 1)!.
template <typename F>
SSGAN_INLINE F absorbed_per_tau_slope(F tau, F passed, F value) {
  F series = 6.0f / 5040 - tau * (7.0f / 40320);
  series = 5.0f / 720 - tau * series;
  series = 4.0f / 120 - tau * series;
  series = 3.0f / 24 - tau * series;
  series = 2.0f / 6 - tau * series;
  series = 1.0f / 2 - tau * series;
  const auto small = tau < splat<F>(kSmallTau);
  return choose(small, -series, (passed - value) / choose(small, splat<F>(1.0f), tau));
}

// An axis-aligned box, and where a ray is inside it: from `near` to `far`, both zero if it misses.
struct Box {
  float low[3];
  float high[3];
};

SSGAN_INLINE void clip_to_box(const Box& box, const float* origin, const float* direction, float& near, float& far) {
  near = 0;
  far = 3e38f;
  for (int axis = 0; axis < 3; ++axis) {
    // A ray parallel to a face gets a tiny slope: it then meets the face so far away that only "inside" counts.
    const float slope = magnitude(direction[axis]) < 1e-12f ? 1e-12f : direction[axis];
    const float first = (box.low[axis] - origin[axis]) / slope;
    const float second = (box.high[axis] - origin[axis]) / slope;
    near = most(near, least(first, second));
    far = least(far, most(first, second));
  }
  if (!(far > near)) near = far = 0;
}

// A grid of texel centres counted from 0: the count at the window's edge, the last centre, strides of rows and columns.
struct Grid {
  float edge;
  int last, row, column;
};

// Maps of depth, optical depth and width carry a border of one texel, which repeats the edge for depth and width and is
// zero for the optical depth: bilinear samples of the padded map, clamped to its outermost centres, then are what the
// reference samples, border or zero padding alike, without a case distinction. `stride` counts the parts, innermost.
SSGAN_INLINE Grid padded_grid(int size, int stride) { return {0.5f, size + 1, (size + 2) * stride, stride}; }
// The feature maps have none.
SSGAN_INLINE Grid feature_grid(int size) { return {-0.5f, size - 1, size, 1}; }

// Windows: their upper left corner, and texels per world unit.
template <typename F>
struct Window {
  F left, top, across, down;
};

// Where a point lies in a grid.
template <typename F>
struct Cell {
  typename Spelling<F>::Integer offset;  // of the upper left texel
  F x, y;                                // within the cell, 0 to 1
  F inside_across, inside_down;          // 0 where the sample was clamped: it then does not move, else 1
};

template <typename F>
SSGAN_INLINE Cell<F> locate(const Grid& grid, const Window<F>& window, F x, F y) {
  using S = Spelling<F>;
  const F zero = splat<F>(0.0f), one = splat<F>(1.0f), last = splat<F>(static_cast<float>(grid.last));
  const F across = (x - window.left) * window.across + grid.edge;
  const F down = (window.top - y) * window.down + grid.edge;
  const F clamped_across = least(most(across, zero), last), clamped_down = least(most(down, zero), last);
  typename S::Integer column = S::truncated(clamped_across), row = S::truncated(clamped_down);
  // The last centre belongs to the cell before it.
  column = S::choose_integer(column == grid.last, column - 1, column);
  row = S::choose_integer(row == grid.last, row - 1, row);
  return {row * grid.row + column * grid.column, clamped_across - S::restored(column), clamped_down - S::restored(row),
          choose(across == clamped_across, one, zero), choose(down == clamped_down, one, zero)};
}

// The corners of a cell and the place within it.
template <typename F>
struct Bilinear {
  F x, y, p00, p01, p10, p11;

  SSGAN_INLINE F value() const {
    const F upper = p00 + x * (p01 - p00), lower = p10 + x * (p11 - p10);
    return upper + y * (lower - upper);
  }
  SSGAN_INLINE F by_column() const { return (p01 - p00) + y * ((p11 - p10) - (p01 - p00)); }
  SSGAN_INLINE F by_row() const { return (p10 - p00) + x * ((p11 - p01) - (p10 - p00)); }
};

// How much of the importance boundaries belongs to coarse segment n of `count`, up to a factor.
SSGAN_INLINE float resampling_mass(const float* weights, int n, int count) {
  const float before = n > 0 ? weights[n - 1] : 0.0f, after = n + 1 < count ? weights[n + 1] : 0.0f;
  return kResamplingSpread * (before + after) + (1 - 2 * kResamplingSpread) * weights[n] + kResamplingFloor;
}

// The j-th of `count` quantiles of a density that is constant between edges.
SSGAN_INLINE float wanted_share(int j, int count) { return (j + 0.5f) / count; }

// The quantile `wanted`, which lies between edges[above] and edges[above + 1]; `running` holds the running sums of the
// masses between the edges as shares of them all.
SSGAN_INLINE float quantile_between(const float* edges, const float* running, int above, float wanted) {
  const float c0 = above ? running[above - 1] : 0.0f;
  const float share = (wanted - c0) / (running[above] - c0);
  // Rounding must not carry a quantile over an edge: the results ascend.
  return least(edges[above] + share * (edges[above + 1] - edges[above]), edges[above + 1]);
}

// The (j + 0.5) / count quantiles: `mass` holds the edge_count - 1 masses, up to a factor, and is turned into their
// running share. Quantiles ascend, so one walk finds them all.
SSGAN_INLINE void quantiles(const float* edges, int edge_count, float* mass, int count, float* result) {
  float sum = 0;
  for (int i = 0; i < edge_count - 1; ++i) mass[i] = sum += mass[i];
  for (int i = 0; i < edge_count - 1; ++i) mass[i] /= sum;
  int above = 0;
  for (int j = 0; j < count; ++j) {
    const float wanted = wanted_share(j, count);
    while (above < edge_count - 2 && mass[above] <= wanted) ++above;
    result[j] = quantile_between(edges, mass, above, wanted);
  }
}

}  // namespace ssgan
