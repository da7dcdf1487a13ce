// What the CUDA kernels are given: plain pointers and sizes, no framework. lifting_operators.h fills it in.

#pragma once

#include <cstdint>

#include "lifting.h"

namespace ssgan {

// The limits of the kernels: a lane a part, and scratch memory for all boundaries of a ray.
constexpr int kMostParts = 32;
constexpr int kMostBoundaries = 128;

enum class Number : int { kFloat, kBfloat16, kHalf };

// What is derived from windows and widths once a call, so that no value has to come back to the host.
struct Setup {
  Box box;              // that holds all density
  float per_one_width;  // one over the width, if it is one number
  int common_window;    // whether all windows are equal
  Window<float> windows[kMostParts];
};

// Maps to lay out: parts innermost, in fours, with a border of one texel.
struct LayoutJob {
  const float *depth, *optical_depth, *width;              // [B, K, S, S]; width null if it is one number
  float *depth_to, *optical_depth_to, *width_to;           // [B, S + 2, S + 2, stride]
  const float *windows, *most_width;                       // [K, 4], []
  Setup* setup;
  float low, high;                                         // depth bounds
  int batch, parts, stride, size;
};

// The way back: gradients of laid out maps become gradients of the maps.
struct FoldJob {
  const float *depth, *optical_depth, *width;     // [B, S + 2, S + 2, stride]; width null if it is one number
  float *depth_to, *optical_depth_to, *width_to;  // [B, K, S, S]
  int batch, parts, stride, size;
};

struct RenderJob {
  const void* features;                        // [B, K, S, S, C]
  Number number;                               // what they are
  const float *depth, *optical_depth, *width;  // laid out; width null if it is one number
  const Setup* setup;
  const float *origins, *directions;  // [B, P, 3]
  int batch, parts, stride, size, channels, pixels, uniform, importance;

  // Results of the forward pass. The backward pass takes the boundaries from there.
  float *picture, *masks;            // [B, P, C], [B, P, K]
  float *transmittance, *distance;   // [B, P]
  float* boundaries;                 // [B, P, N], ascending; all zero where a ray misses the box

  // Gradients that come in, laid out like the results.
  const float *by_picture, *by_masks, *by_transmittance, *by_distance;
  // Sums that go out, zero before; null if nobody asks, and the width's if it is one number.
  float* for_features;                                    // [B, K, S, S, C]
  float *for_depth, *for_optical_depth, *for_width;       // laid out
  // Values that go out.
  float* for_one_width;                  // [B, P], a term of the sum for each ray; null if width is a map
  float *for_origins, *for_directions;   // [B, P, 3]; null if nobody asks

  SSGAN_INLINE int boundary_count() const { return uniform + importance; }
};

}  // namespace ssgan
