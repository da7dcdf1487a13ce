// How maps are laid out for the CUDA kernels, texel by texel, and how their gradients come back.

#pragma once

#include "lifting_job.h"

namespace ssgan {

constexpr float kFarFromRays = -1e6f;  // depth of the parts that only pad a four: no ray meets them

SSGAN_INLINE int clamp_int(int value, int low, int high) { return value < low ? low : value > high ? high : value; }

// One texel of all laid out maps; `index` counts [B, S + 2, S + 2].
SSGAN_INLINE void lay_out_texel(const LayoutJob& job, int64_t index) {
  const int side = job.size + 2;
  const int column = static_cast<int>(index % side), row = static_cast<int>(index / side % side);
  const int64_t entry = index / side / side, texels = static_cast<int64_t>(job.size) * job.size;
  const int x = clamp_int(column - 1, 0, job.size - 1), y = clamp_int(row - 1, 0, job.size - 1);
  const bool border = x != column - 1 || y != row - 1;
  for (int part = 0; part < job.stride; ++part) {
    const int64_t from = (entry * job.parts + part) * texels + y * job.size + x, to = index * job.stride + part;
    const bool real = part < job.parts;
    job.depth_to[to] = real ? job.depth[from] : kFarFromRays;
    job.optical_depth_to[to] = real && !border ? job.optical_depth[from] : 0.0f;
    if (job.width) job.width_to[to] = real ? job.width[from] : 1.0f;
  }
}

// What `Setup` says; for one thread.
SSGAN_INLINE void set_up(const LayoutJob& job) {
  Setup& setup = *job.setup;
  const float most_width = *job.most_width;
  setup.box.low[2] = job.low - kMarginWidths * most_width;
  setup.box.high[2] = job.high + kMarginWidths * most_width;
  setup.per_one_width = 1.0f / most_width;
  setup.common_window = 1;
  for (int part = 0; part < job.stride; ++part) {
    const float* edge = job.windows + 4 * (part < job.parts ? part : 0);
    const float wide = edge[2] - edge[0], tall = edge[3] - edge[1];
    setup.windows[part] = {edge[0], edge[3], job.size / wide, job.size / tall};
    for (int i = 0; i < 4; ++i) {
      if (edge[i] != job.windows[i]) setup.common_window = 0;
    }
    // The box is the union of the windows, widened by the half texel over which the maps fade to nothing.
    const float half_texel[2] = {wide / (2 * job.size), tall / (2 * job.size)};
    for (int axis = 0; axis < 2; ++axis) {
      const float from = edge[axis] - half_texel[axis], to = edge[2 + axis] + half_texel[axis];
      setup.box.low[axis] = part ? least(setup.box.low[axis], from) : from;
      setup.box.high[axis] = part ? most(setup.box.high[axis], to) : to;
    }
  }
}

// One texel of a gradient map: what lies on the border belongs to the edge that it repeats, or to nothing.
SSGAN_INLINE float folded(const FoldJob& job, const float* map, bool border, int64_t entry, int part, int y, int x) {
  const int side = job.size + 2, end = job.size - 1;
  const int top = border && y == 0 ? 0 : y + 1, bottom = border && y == end ? side - 1 : y + 1;
  const int left = border && x == 0 ? 0 : x + 1, right = border && x == end ? side - 1 : x + 1;
  float sum = 0;
  for (int row = top; row <= bottom; ++row) {
    for (int column = left; column <= right; ++column) {
      sum += map[((entry * side + row) * side + column) * job.stride + part];
    }
  }
  return sum;
}

// One texel of the maps' gradients; `index` counts [B, S, S].
SSGAN_INLINE void fold_texel(const FoldJob& job, int64_t index) {
  const int x = static_cast<int>(index % job.size), y = static_cast<int>(index / job.size % job.size);
  const int64_t entry = index / job.size / job.size, texels = static_cast<int64_t>(job.size) * job.size;
  for (int part = 0; part < job.parts; ++part) {
    const int64_t to = (entry * job.parts + part) * texels + y * job.size + x;
    job.depth_to[to] = folded(job, job.depth, true, entry, part, y, x);
    job.optical_depth_to[to] = folded(job, job.optical_depth, false, entry, part, y, x);
    if (job.width) job.width_to[to] = folded(job, job.width, true, entry, part, y, x);
  }
}

}  // namespace ssgan
