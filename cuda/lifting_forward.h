// ssgan::lift: what the rays see.

#pragma once

#include <tuple>
#include <vector>

#include "lifting_scene.h"

namespace ssgan {

constexpr int64_t kTileRays = 64;  // rays a task

// Four texels' features, channel by channel.
struct Texels {
  const float *p0, *p1, *p2, *p3;

  Texels(const Sheets& sheets, const Touched& touched) {
    const int64_t map = static_cast<int64_t>(touched.part) * sheets.size * sheets.size;
    p0 = sheets.features + (map + touched.texel) * sheets.channels;
    p1 = p0 + sheets.channels;
    p2 = p0 + sheets.size * sheets.channels;
    p3 = p2 + sheets.channels;
  }
};

// Writes the sum of a ray's weighted texels to result [channels].
inline void gather(const Sheets& sheets, const std::vector<Touched>& touched, float* result) {
  const auto weigh = [](const Texels& texels, const float* w, int c) {
    return (w[0] * load(texels.p0 + c) + w[1] * load(texels.p1 + c)) +
           (w[2] * load(texels.p2 + c) + w[3] * load(texels.p3 + c));
  };
  int c = 0;
  for (; c + 4 * kLanes <= sheets.channels; c += 4 * kLanes) {
    Lanes sum0 = {}, sum1 = {}, sum2 = {}, sum3 = {};
    for (const Touched& each : touched) {
      const Texels texels(sheets, each);
      sum0 += weigh(texels, each.weights, c);
      sum1 += weigh(texels, each.weights, c + kLanes);
      sum2 += weigh(texels, each.weights, c + 2 * kLanes);
      sum3 += weigh(texels, each.weights, c + 3 * kLanes);
    }
    store(result + c, sum0);
    store(result + c + kLanes, sum1);
    store(result + c + 2 * kLanes, sum2);
    store(result + c + 3 * kLanes, sum3);
  }
  for (; c + kLanes <= sheets.channels; c += kLanes) {
    Lanes sum = {};
    for (const Touched& each : touched) sum += weigh(Texels(sheets, each), each.weights, c);
    store(result + c, sum);
  }
  for (; c < sheets.channels; ++c) {
    float sum = 0;
    for (const Touched& each : touched) {
      const Texels texels(sheets, each);
      const float* w = each.weights;
      sum += (w[0] * texels.p0[c] + w[1] * texels.p1[c]) + (w[2] * texels.p2[c] + w[3] * texels.p3[c]);
    }
    result[c] = sum;
  }
}

// Where the results go: [B, C, P], [B, K, P], [B, P], [B, P] and [B, P, N].
struct Outputs {
  float *features, *masks, *transmittance, *distance, *boundaries;
};

// Renders tiles of rays of one kind of scene.
template <bool Common, bool Mapped>
class Forward {
 public:
  Forward(const Scene& scene, const Outputs& outputs)
      : scene_(scene),
        outputs_(outputs),
        features_(kTileRays * scene.channels),
        masks_(kTileRays * scene.stride) {}

  // The rays first..first + kTileRays - 1 of entry b, as far as there are any.
  void run(int64_t b, int64_t first) {
    const int64_t count = std::min(kTileRays, scene_.pixels - first);
    const Sheets sheets = scene_.sheets(b);
    Tracer<Common, Mapped> tracer(sheets, scene_.uniform, scene_.importance);
    std::fill(features_.begin(), features_.end(), 0.0f);
    std::fill(masks_.begin(), masks_.end(), 0.0f);
    for (int64_t i = 0; i < count; ++i) trace(tracer, b, first + i, i);
    spread(features_, scene_.channels, scene_.channels, b, first, count, outputs_.features);
    spread(masks_, scene_.stride, scene_.parts, b, first, count, outputs_.masks);
  }

 private:
  // Ray p of entry b, the i-th of the tile.
  void trace(Tracer<Common, Mapped>& tracer, int64_t b, int64_t p, int64_t i) {
    const int64_t at = b * scene_.pixels + p;
    const int segments = tracer.boundaries - 1;
    const float *origin = scene_.origin(b, p), *direction = scene_.direction(b, p);
    float* sorted = outputs_.boundaries + at * tracer.boundaries;
    float near, far;
    clip_to_box(scene_.box, origin, direction, near, far);
    if (far == 0) {
      outputs_.transmittance[at] = 1;
      outputs_.distance[at] = 0;
      std::fill_n(sorted, tracer.boundaries, 0.0f);
      return;
    }
    tracer.place(origin, direction, near, far, sorted);
    tracer.cut(origin, direction, tracer.boundaries);
    outputs_.transmittance[at] = tracer.composite(segments);

    float distance = 0;
    float* mask = masks_.data() + i * scene_.stride;
    for (int n = 0; n < segments; ++n) {
      distance += tracer.total[n] * tracer.per_tau[n] * tracer.middle[n];
      for (int block = 0; block < tracer.blocks; ++block) {
        if (!tracer.active[n * tracer.blocks + block]) continue;
        const Lanes tau = load(tracer.tau.data() + n * scene_.stride + block * kLanes);
        add_to(mask + block * kLanes, tau * tracer.per_tau[n]);
      }
    }
    outputs_.distance[at] = distance;
    tracer.collect(origin, direction, segments, static_cast<int>(p), touched_, nullptr);
    gather(tracer.sheets, touched_, features_.data() + i * scene_.channels);
  }

  // From a tile [kTileRays][stride] to the first `planes` planes of entry b.
  void spread(const std::vector<float>& tile, int64_t stride, int64_t planes, int64_t b, int64_t first, int64_t count,
              float* result) const {
    for (int64_t k = 0; k < planes; ++k) {
      float* out = result + (b * planes + k) * scene_.pixels + first;
      for (int64_t i = 0; i < count; ++i) out[i] = tile[i * stride + k];
    }
  }

  const Scene& scene_;
  const Outputs& outputs_;
  std::vector<float> features_, masks_;
  std::vector<Touched> touched_;
};

inline std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> lift(
    const Tensor& features, const Tensor& depth, const Tensor& optical_depth, const Tensor& width,
    const Tensor& windows, const Tensor& origins, const Tensor& directions, double low, double high, int64_t uniform,
    int64_t importance) {
  const Scene scene = make_scene(features, depth, optical_depth, width, windows, origins, directions, low, high,
                                 uniform, importance);
  const int64_t batch = scene.batch, pixels = scene.pixels;
  const auto options = depth.options().memory_format(at::MemoryFormat::Contiguous);
  Tensor picture = at::empty({batch, scene.channels, pixels}, options);
  Tensor masks = at::empty({batch, scene.parts, pixels}, options);
  Tensor transmittance = at::empty({batch, pixels}, options);
  Tensor distance = at::empty({batch, pixels}, options);
  Tensor boundaries = at::empty({batch, pixels, uniform + importance}, options);
  const Outputs outputs{picture.mutable_data_ptr<float>(), masks.mutable_data_ptr<float>(),
                        transmittance.mutable_data_ptr<float>(), distance.mutable_data_ptr<float>(),
                        boundaries.mutable_data_ptr<float>()};
  const int64_t tiles = (pixels + kTileRays - 1) / kTileRays;
  dispatch(scene, [&](auto common, auto mapped) {
    run_tasks(batch * tiles, [&] {
      return [tiles, forward = Forward<decltype(common)::value, decltype(mapped)::value>(scene, outputs)](
                 int64_t task) mutable { forward.run(task / tiles, task % tiles * kTileRays); };
    });
  });
  return {picture, masks, transmittance, distance, boundaries};
}

}  // namespace ssgan
