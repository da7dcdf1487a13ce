// The arguments of the CPU operators, checked and laid out, and how their work is spread over threads.
//
// Results do not depend on the number of threads nor on their luck: work is cut into tasks by the shapes alone, threads
// draw tasks from a counter, and a value that several rays add to is summed by one task in a fixed order.

#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <type_traits>
#include <vector>

#include "lifting_rays.h"

namespace ssgan {

using at::Tensor;

constexpr float kFarAway = -1e6f;  // depth of the parts that only pad a block: no ray meets them

// Runs make()(task) for every task; each thread makes its own worker.
template <class Make>
void run_tasks(int64_t count, const Make& make) {
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(count, at::get_num_threads()), 1, [&](int64_t, int64_t) {
    auto worker = make();
    for (int64_t task; (task = next.fetch_add(1)) < count;) worker(task);
  });
}

// The arguments of both ops, checked and laid out for the rays.
struct Scene {
  Tensor features, origins, directions, depth, optical_depth, width;
  std::vector<Windows> windows;
  bool common_window = true;
  bool mapped_width;
  float one_width = 0;
  Box box;
  int64_t batch, parts, size, channels, pixels, stride;
  int uniform, importance;

  int64_t map_length() const { return (size + 2) * (size + 2) * stride; }

  Sheets sheets(int64_t b) const {
    const int64_t at = b * map_length();
    return {features.const_data_ptr<float>() + b * parts * size * size * channels,
            depth.const_data_ptr<float>() + at,
            optical_depth.const_data_ptr<float>() + at,
            mapped_width ? width.const_data_ptr<float>() + at : nullptr,
            1 / one_width,
            windows.data(),
            static_cast<int>(parts),
            static_cast<int>(stride),
            static_cast<int>(size),
            static_cast<int>(channels)};
  }
  const float* origin(int64_t b, int64_t p) const { return origins.const_data_ptr<float>() + (b * pixels + p) * 3; }
  const float* direction(int64_t b, int64_t p) const {
    return directions.const_data_ptr<float>() + (b * pixels + p) * 3;
  }
};

// [B, K, S, S] as [B, S + 2, S + 2, stride]: parts innermost, a border that repeats the edge (times `border`), and
// `padding` in the lanes without a part.
inline Tensor lay_out(const Tensor& maps, int64_t stride, float border, float padding) {
  const Tensor source = maps.contiguous();
  const int64_t batch = maps.size(0), parts = maps.size(1), size = maps.size(2);
  Tensor result = at::empty({batch, size + 2, size + 2, stride}, source.options());
  const float* from = source.const_data_ptr<float>();
  float* to = result.mutable_data_ptr<float>();
  run_tasks(batch * (size + 2), [&] {
    return [&](int64_t task) {
      const int64_t b = task / (size + 2), row = task % (size + 2);
      const int64_t y = std::clamp<int64_t>(row - 1, 0, size - 1);
      for (int64_t column = 0; column < size + 2; ++column) {
        const int64_t x = std::clamp<int64_t>(column - 1, 0, size - 1);
        const float factor = x == column - 1 && y == row - 1 ? 1.0f : border;
        float* texel = to + (task * (size + 2) + column) * stride;
        for (int64_t k = 0; k < parts; ++k) texel[k] = from[((b * parts + k) * size + y) * size + x] * factor;
        for (int64_t k = parts; k < stride; ++k) texel[k] = padding;
      }
    };
  });
  return result;
}

// [B, K, C, S, S] as [B, K, S, S, C], a few texels at a time, so that reads and writes both stay in the cache.
inline Tensor channels_last(const Tensor& features) {
  TORCH_CHECK(features.dim() == 5 && features.scalar_type() == at::kFloat && features.is_contiguous(),
              "channels_last takes contiguous float32 [B, K, C, S, S]");
  const int64_t channels = features.size(2), texels = features.size(3) * features.size(4);
  Tensor result = at::empty(
      {features.size(0), features.size(1), features.size(3), features.size(4), channels}, features.options());
  const float* from = features.const_data_ptr<float>();
  float* to = result.mutable_data_ptr<float>();
  run_tasks(features.size(0) * features.size(1), [&] {
    return [&](int64_t task) {
      const float* source = from + task * channels * texels;
      float* target = to + task * channels * texels;
      constexpr int64_t kTile = 16;
      for (int64_t first = 0; first < texels; first += kTile) {
        const int64_t count = std::min(kTile, texels - first);
        for (int64_t c = 0; c < channels; ++c) {
          for (int64_t i = first; i < first + count; ++i) target[i * channels + c] = source[c * texels + i];
        }
      }
    };
  });
  return result;
}

inline Scene make_scene(const Tensor& features, const Tensor& depth, const Tensor& optical_depth, const Tensor& width,
                 const Tensor& windows, const Tensor& origins, const Tensor& directions, double low, double high,
                 int64_t uniform, int64_t importance) {
  for (const Tensor* tensor : {&features, &depth, &optical_depth, &width, &windows, &origins, &directions}) {
    TORCH_CHECK(tensor->scalar_type() == at::kFloat && tensor->is_cpu(), "lift takes float32 tensors on the CPU");
  }
  TORCH_CHECK(features.dim() == 5 && features.size(2) == features.size(3) && features.size(2) >= 2,
              "features must be [B, K, S, S, C] with S >= 2");
  TORCH_CHECK(origins.dim() == 3 && origins.size(2) == 3, "origins must be [B, P, 3]");
  Scene scene;
  scene.batch = features.size(0);
  scene.parts = features.size(1);
  scene.size = features.size(2);
  scene.channels = features.size(4);
  scene.pixels = origins.size(1);
  scene.stride = (scene.parts + kLanes - 1) / kLanes * kLanes;
  TORCH_CHECK(scene.map_length() < INT32_MAX && scene.parts * scene.size * scene.size < INT32_MAX, "maps too large");
  const std::array<int64_t, 4> shape{scene.batch, scene.parts, scene.size, scene.size};
  TORCH_CHECK(depth.sizes() == at::IntArrayRef(shape), "depth must be [B, K, S, S]");
  TORCH_CHECK(optical_depth.sizes() == at::IntArrayRef(shape), "optical_depth must be [B, K, S, S]");
  TORCH_CHECK(width.dim() == 0 || width.sizes() == at::IntArrayRef(shape), "width must be [] or [B, K, S, S]");
  TORCH_CHECK(windows.dim() == 2 && windows.size(0) == scene.parts && windows.size(1) == 4, "windows must be [K, 4]");
  TORCH_CHECK(origins.size(0) == scene.batch && directions.sizes() == origins.sizes(), "rays must be [B, P, 3]");
  TORCH_CHECK(scene.batch > 0 && scene.parts > 0 && scene.channels > 0 && scene.pixels > 0, "nothing to render");
  TORCH_CHECK(uniform >= 2 && importance >= 0 && uniform + importance < 65536, "impossible numbers of boundaries");

  scene.features = features.contiguous();
  scene.origins = origins.contiguous();
  scene.directions = directions.contiguous();
  scene.uniform = static_cast<int>(uniform);
  scene.importance = static_cast<int>(importance);
  scene.mapped_width = width.dim() != 0;
  scene.depth = lay_out(depth, scene.stride, 1.0f, kFarAway);
  scene.optical_depth = lay_out(optical_depth, scene.stride, 0.0f, 0.0f);
  const Tensor widths = width.contiguous();
  const float* values = widths.const_data_ptr<float>();
  const float most_width = *std::max_element(values, values + widths.numel());
  if (scene.mapped_width) {
    scene.width = lay_out(width, scene.stride, 1.0f, 1.0f);
  } else {
    scene.one_width = most_width;
  }

  const Tensor rectangles = windows.contiguous();
  const float* edges = rectangles.const_data_ptr<float>();
  scene.windows.resize(scene.stride / kLanes);
  scene.box.low[2] = static_cast<float>(low) - kMarginWidths * most_width;
  scene.box.high[2] = static_cast<float>(high) + kMarginWidths * most_width;
  for (int64_t k = 0; k < scene.stride; ++k) {
    const float* edge = edges + 4 * (k < scene.parts ? k : 0);
    const float wide = edge[2] - edge[0], tall = edge[3] - edge[1];
    Windows& lanes = scene.windows[k / kLanes];
    lanes.left[k % kLanes] = edge[0];
    lanes.top[k % kLanes] = edge[3];
    lanes.across[k % kLanes] = scene.size / wide;
    lanes.down[k % kLanes] = scene.size / tall;
    scene.common_window = scene.common_window && std::equal(edge, edge + 4, edges);
    // The box is the union of the windows, widened by the half texel over which the maps fade to nothing.
    const float half_texel[2] = {wide / (2 * scene.size), tall / (2 * scene.size)};
    for (int axis = 0; axis < 2; ++axis) {
      const float from = edge[axis] - half_texel[axis], to = edge[2 + axis] + half_texel[axis];
      scene.box.low[axis] = k ? least(scene.box.low[axis], from) : from;
      scene.box.high[axis] = k ? most(scene.box.high[axis], to) : to;
    }
  }
  return scene;
}

// Calls body<Common, Mapped>() for what the scene is.
template <class Body>
void dispatch(const Scene& scene, const Body& body) {
  using std::false_type;
  using std::true_type;
  if (scene.common_window) {
    scene.mapped_width ? body(true_type{}, true_type{}) : body(true_type{}, false_type{});
  } else {
    scene.mapped_width ? body(false_type{}, true_type{}) : body(false_type{}, false_type{});
  }
}

}  // namespace ssgan
