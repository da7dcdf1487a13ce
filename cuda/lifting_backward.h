// ssgan::lift_backward: from the gradients of what the rays see to those of maps and rays. Weights are computed again.

#pragma once

#include <tuple>
#include <vector>

#include "lifting_forward.h"

namespace ssgan {

constexpr int64_t kGroupRays = 65536;  // rays whose records are held at once
constexpr int64_t kGroupTasks = 16;    // tasks that a group is cut into at least, if it has the rays
constexpr int64_t kLeastChunk = 128;   // rays a task at least

// What a backward task adds up on its own: gradient maps [S + 2][S + 2][stride] and what the feature maps get.
struct Chunk {
  std::vector<float> depth, optical_depth, width;
  double one_width = 0;
  std::vector<std::vector<Touched>> touched;  // by part
};

// Gradients that come in, and where those of the rays go.
struct Gradients {
  Tensor features, masks, transmittance, distance;  // [B, P, C], [B, K, P], [B, P], [B, P]
  Tensor boundaries;                                // [B, P, N]
  float *origins, *directions;                      // null if nobody asks
  bool features_needed, sheets_needed;
};

template <bool Common, bool Mapped>
class Backward {
 public:
  Backward(const Scene& scene, const Gradients& gradients, int64_t b, Chunk& chunk)
      : scene_(scene),
        gradients_(gradients),
        sheets_(scene.sheets(b)),
        b_(b),
        chunk_(chunk),
        tracer_(sheets_, scene.uniform, scene.importance),
        by_weight_(tracer_.boundaries * sheets_.stride),
        by_q_(tracer_.boundaries * sheets_.stride),
        by_total_(tracer_.boundaries),
        by_mask_(sheets_.stride) {}

  void run(int64_t p) {
    const float* sorted = gradients_.boundaries.const_data_ptr<float>() + (b_ * scene_.pixels + p) * tracer_.boundaries;
    if (sorted[tracer_.boundaries - 1] == 0) return;  // the ray misses everything
    const float *origin = scene_.origin(b_, p), *direction = scene_.direction(b_, p);
    const int segments = tracer_.boundaries - 1;
    std::fill(std::begin(by_point_), std::end(by_point_), 0.0f);
    by_width_ = Lanes{};
    tracer_.take(origin, direction, sorted);
    tracer_.cut(origin, direction, tracer_.boundaries);
    const float transmittance = tracer_.composite(segments);
    if (!gradients_.sheets_needed) {
      touch(origin, direction, segments, p, nullptr);
      return;
    }
    weights(origin, direction, segments, p);
    totals(segments, transmittance * gradients_.transmittance.const_data_ptr<float>()[b_ * scene_.pixels + p]);
    densities(segments);
    sheets(segments);
    chunk_.one_width += sum(by_width_);
    if (gradients_.origins) {
      for (int i = 0; i < 3; ++i) {
        gradients_.origins[(b_ * scene_.pixels + p) * 3 + i] = by_point_[i];
        gradients_.directions[(b_ * scene_.pixels + p) * 3 + i] = by_point_[3 + i];
      }
    }
  }

 private:
  // Which texels of the features the ray sees.
  void touch(const float* origin, const float* direction, int segments, int64_t p, std::vector<Term>* terms) {
    tracer_.collect(origin, direction, segments, static_cast<int>(p), touched_, terms);
    if (!gradients_.features_needed) return;
    for (const Touched& texels : touched_) chunk_.touched[texels.part].push_back(texels);
  }

  // Derivative by each part's weight in each segment, through masks, distance and features.
  void weights(const float* origin, const float* direction, int segments, int64_t p) {
    const float* masks = gradients_.masks.const_data_ptr<float>() + b_ * scene_.parts * scene_.pixels + p;
    for (int k = 0; k < sheets_.parts; ++k) by_mask_[k] = masks[k * scene_.pixels];
    const float by_distance = gradients_.distance.const_data_ptr<float>()[b_ * scene_.pixels + p];
    for (int n = 0; n < segments; ++n) {
      const float add = by_distance * tracer_.middle[n];
      for (int k = 0; k < sheets_.stride; ++k) by_weight_[n * sheets_.stride + k] = by_mask_[k] + add;
    }

    touch(origin, direction, segments, p, &terms_);
    products_.resize(touched_.size() * 4);
    const float* seen = gradients_.features.const_data_ptr<float>() + (b_ * scene_.pixels + p) * sheets_.channels;
    for (size_t i = 0; i < touched_.size(); ++i) multiply(touched_[i], seen, products_.data() + 4 * i);
    for (const Term& term : terms_) {
      const float* product = products_.data() + 4 * term.touched;
      const Cells& cells = tracer_.at_features;
      const int cell = tracer_.feature_cell(term.segment, term.part);
      const float x = cells.x[cell], y = cells.y[cell];
      by_weight_[term.segment * sheets_.stride + term.part] +=
          (1 - y) * ((1 - x) * product[0] + x * product[1]) + y * ((1 - x) * product[2] + x * product[3]);
      if (!gradients_.origins) continue;
      const Windows& window = sheets_.windows[term.part / kLanes];
      const float by_column = (1 - y) * (product[1] - product[0]) + y * (product[3] - product[2]);
      const float by_row = (1 - x) * (product[2] - product[0]) + x * (product[3] - product[1]);
      move({term.weight * by_column * cells.inside_across[cell] * window.across[term.part % kLanes],
            -term.weight * by_row * cells.inside_down[cell] * window.down[term.part % kLanes]},
           tracer_.middle[term.segment]);
    }
  }

  // Inner products of the features of four texels with the ray's gradient.
  void multiply(const Touched& touched, const float* seen, float* products) const {
    const Texels texels(sheets_, touched);
    Lanes sum0 = {}, sum1 = {}, sum2 = {}, sum3 = {};
    int c = 0;
    for (; c + kLanes <= sheets_.channels; c += kLanes) {
      const Lanes by = load(seen + c);
      sum0 += load(texels.p0 + c) * by;
      sum1 += load(texels.p1 + c) * by;
      sum2 += load(texels.p2 + c) * by;
      sum3 += load(texels.p3 + c) * by;
    }
    for (int j = 0; c < sheets_.channels; ++c, ++j) {
      sum0[j] += texels.p0[c] * seen[c];
      sum1[j] += texels.p1[c] * seen[c];
      sum2[j] += texels.p2[c] * seen[c];
      sum3[j] += texels.p3[c] * seen[c];
    }
    products[0] = sum(sum0);
    products[1] = sum(sum1);
    products[2] = sum(sum2);
    products[3] = sum(sum3);
  }

  // Derivative by each segment's optical depth through the weights of all: behind it less light arrives.
  void totals(int segments, float through_transmittance) {
    float behind = through_transmittance;
    for (int n = segments - 1; n >= 0; --n) {
      Lanes sums = {};
      for (int block = 0; block < tracer_.blocks; ++block) {
        if (!tracer_.active[n * tracer_.blocks + block]) continue;
        const int here = n * sheets_.stride + block * kLanes;
        sums += load(by_weight_.data() + here) * load(tracer_.tau.data() + here);
      }
      const float by_per_tau = sum(sums);
      const float slope = absorbed_per_tau_slope(tracer_.total[n], tracer_.passed[n], tracer_.absorbed[n]);
      by_total_[n] = by_per_tau * tracer_.before[n] * slope - behind;
      behind += by_per_tau * tracer_.per_tau[n];
    }
  }

  // From the optical depths to q at the boundaries, kappa and width at the midpoints.
  void densities(int segments) {
    const int stride = sheets_.stride;
    std::fill(by_q_.begin(), by_q_.end(), 0.0f);
    for (int n = 0; n < segments; ++n) {
      for (int block = 0; block < tracer_.blocks; ++block) {
        if (!tracer_.active[n * tracer_.blocks + block]) continue;
        const int here = n * stride + block * kLanes, next = here + stride;
        Lanes per_width = splat<Lanes>(sheets_.per_one_width);
        if constexpr (Mapped) per_width = load(tracer_.middle_per_width.data() + here);
        const Lanes mean = load(tracer_.mean.data() + here), tau = load(tracer_.tau.data() + here);
        const Lanes by_tau = load(by_weight_.data() + here) * tracer_.per_tau[n] + by_total_[n];
        const Lanes by_mean = by_tau * load(tracer_.amplitude.data() + here) * tracer_.length[n];
        Lanes left, right;
        mean_gaussian_slopes(load(tracer_.q.data() + here), load(tracer_.q.data() + next), mean,
                             load(tracer_.gaussian.data() + here), load(tracer_.gaussian.data() + next), left, right);
        add_to(by_q_.data() + here, by_mean * left);
        add_to(by_q_.data() + next, by_mean * right);
        const Lanes by_kappa = by_tau * (tracer_.length[n] * kPeakPerDepth) * mean * per_width;
        scatter<Common>(sheets_, chunk_.optical_depth.data(), tracer_.at_middle, n, block, by_kappa);
        if (gradients_.origins) {
          move(move_point<Common>(sheets_, sheets_.optical_depth, tracer_.at_middle, n, block, by_kappa),
               tracer_.middle[n]);
        }
        pass_width(tracer_.at_middle, n, block, -by_tau * tau * per_width, tracer_.middle[n]);
      }
    }
  }

  // From q to depth and width at the boundaries.
  void sheets(int segments) {
    for (int n = 0; n <= segments; ++n) {
      for (int block = 0; block < tracer_.blocks; ++block) {
        const bool before = n > 0 && tracer_.active[(n - 1) * tracer_.blocks + block];
        const bool after = n < segments && tracer_.active[n * tracer_.blocks + block];
        if (!before && !after) continue;
        const int here = n * sheets_.stride + block * kLanes;
        Lanes per_width = splat<Lanes>(sheets_.per_one_width);
        if constexpr (Mapped) per_width = load(tracer_.per_width.data() + here);
        const Lanes by_depth = -load(by_q_.data() + here) * per_width;
        scatter<Common>(sheets_, chunk_.depth.data(), tracer_.at_boundaries, n, block, by_depth);
        if (gradients_.origins) {
          const float by_z = -sum(by_depth);
          by_point_[2] += by_z;
          by_point_[5] += by_z * tracer_.distance[n];
          move(move_point<Common>(sheets_, sheets_.depth, tracer_.at_boundaries, n, block, by_depth),
               tracer_.distance[n]);
        }
        pass_width(tracer_.at_boundaries, n, block, by_depth * load(tracer_.q.data() + here), tracer_.distance[n]);
      }
    }
  }

  SSGAN_INLINE void pass_width(const Cells& cells, int n, int block, Lanes by_width, float distance) {
    if constexpr (Mapped) {
      scatter<Common>(sheets_, chunk_.width.data(), cells, n, block, by_width);
      if (gradients_.origins) move(move_point<Common>(sheets_, sheets_.width, cells, n, block, by_width), distance);
    } else {
      by_width_ += by_width;
    }
  }

  // A point's x and y at a fixed distance move with the ray's origin and direction.
  void move(ByPoint by_point, float distance) {
    by_point_[0] += by_point.x;
    by_point_[1] += by_point.y;
    by_point_[3] += by_point.x * distance;
    by_point_[4] += by_point.y * distance;
  }

  const Scene& scene_;
  const Gradients& gradients_;
  const Sheets sheets_;
  const int64_t b_;
  Chunk& chunk_;
  Tracer<Common, Mapped> tracer_;
  std::vector<float> by_weight_, by_q_, by_total_, by_mask_, products_;
  std::vector<Touched> touched_;
  std::vector<Term> terms_;
  Lanes by_width_;
  float by_point_[6];
};

// Adds what the rays of all chunks found to one part's feature gradient [S * S][C].
inline void scatter_features(const Chunk* chunks, int64_t count, int part, const float* seen, int64_t size,
                             int64_t channels, float* result) {
  std::fill_n(result, size * size * channels, 0.0f);
  for (int64_t i = 0; i < count; ++i) {
    for (const Touched& texels : chunks[i].touched[part]) {
      const float* ray = seen + texels.ray * channels;
      float* p0 = result + texels.texel * channels;
      float *p1 = p0 + channels, *p2 = p0 + size * channels, *p3 = p2 + channels;
      const float w0 = texels.weights[0], w1 = texels.weights[1], w2 = texels.weights[2], w3 = texels.weights[3];
      int64_t c = 0;
      for (; c + kLanes <= channels; c += kLanes) {
        const Lanes by = load(ray + c);
        add_to(p0 + c, w0 * by);
        add_to(p1 + c, w1 * by);
        add_to(p2 + c, w2 * by);
        add_to(p3 + c, w3 * by);
      }
      for (; c < channels; ++c) {
        p0[c] += w0 * ray[c];
        p1[c] += w1 * ray[c];
        p2[c] += w2 * ray[c];
        p3[c] += w3 * ray[c];
      }
    }
  }
}

// One row of texels of a gradient map [B, K, S, S], summed over the chunks; the border's gradient belongs to the edge
// that it repeats, or to nothing.
inline void collect_row(const Scene& scene, const Chunk* chunks, int64_t count, std::vector<float> Chunk::* map,
                        bool border, int64_t y, float* result) {
  const int64_t size = scene.size, side = size + 2;
  std::vector<float> sums(scene.stride);
  for (int64_t x = 0; x < size; ++x) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    const int64_t top = border && y == 0 ? 0 : y + 1, bottom = border && y == size - 1 ? size + 1 : y + 1;
    const int64_t left = border && x == 0 ? 0 : x + 1, right = border && x == size - 1 ? size + 1 : x + 1;
    for (int64_t row = top; row <= bottom; ++row) {
      for (int64_t column = left; column <= right; ++column) {
        for (int64_t i = 0; i < count; ++i) {
          const float* texel = (chunks[i].*map).data() + (row * side + column) * scene.stride;
          for (int64_t k = 0; k < scene.stride; ++k) sums[k] += texel[k];
        }
      }
    }
    for (int64_t k = 0; k < scene.parts; ++k) result[(k * size + y) * size + x] = sums[k];
  }
}

inline std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> lift_backward(
    const Tensor& by_features, const Tensor& by_masks, const Tensor& by_transmittance, const Tensor& by_distance,
    const Tensor& features, const Tensor& depth, const Tensor& optical_depth, const Tensor& width,
    const Tensor& windows, const Tensor& origins, const Tensor& directions, const Tensor& boundaries, double low,
    double high, int64_t uniform, int64_t importance, bool features_needed, bool sheets_needed, bool rays_needed) {
  const Scene scene = make_scene(features, depth, optical_depth, width, windows, origins, directions, low, high,
                                 uniform, importance);
  const int64_t batch = scene.batch, parts = scene.parts, channels = scene.channels, pixels = scene.pixels;
  const int64_t size = scene.size;
  const auto options = depth.options().memory_format(at::MemoryFormat::Contiguous);
  Tensor for_features = at::empty({features_needed ? batch : 0, parts, size, size, channels}, options);
  // Rays move with the sheets that they meet.
  const bool sheets_wanted = sheets_needed || rays_needed;
  const auto of_sheets = [&](const Tensor& map) {
    return at::empty(sheets_wanted ? map.sizes() : at::IntArrayRef({0}), options);
  };
  Tensor for_depth = of_sheets(depth), for_optical_depth = of_sheets(optical_depth), for_width = of_sheets(width);
  Tensor for_origins = at::empty({rays_needed ? batch : 0, pixels, 3}, options).zero_();
  Tensor for_directions = at::empty({rays_needed ? batch : 0, pixels, 3}, options).zero_();
  const Gradients gradients{by_features.transpose(1, 2).contiguous(),
                            by_masks.contiguous(),
                            by_transmittance.contiguous(),
                            by_distance.contiguous(),
                            boundaries.contiguous(),
                            rays_needed ? for_origins.mutable_data_ptr<float>() : nullptr,
                            rays_needed ? for_directions.mutable_data_ptr<float>() : nullptr,
                            features_needed,
                            sheets_wanted};
  const float* const seen = gradients.features.const_data_ptr<float>();
  double one_width = 0;

  const int64_t group = std::clamp<int64_t>(kGroupRays / pixels, 1, batch);
  const int64_t most_chunks = (pixels + kLeastChunk - 1) / kLeastChunk;
  const int64_t per_entry = std::clamp<int64_t>(kGroupTasks / group, 1, most_chunks);
  const int64_t chunk_rays = (pixels + per_entry - 1) / per_entry;
  std::vector<Chunk> chunks(group * per_entry);
  for (int64_t first = 0; first < batch; first += group) {
    const int64_t entries = std::min(group, batch - first);
    dispatch(scene, [&](auto common, auto mapped) {
      run_tasks(entries * per_entry, [&] {
        return [&](int64_t task) {
          Chunk& chunk = chunks[task];
          const int64_t length = sheets_wanted ? scene.map_length() : 0;
          chunk.depth.assign(length, 0.0f);
          chunk.optical_depth.assign(length, 0.0f);
          chunk.width.assign(scene.mapped_width ? length : 0, 0.0f);
          chunk.one_width = 0;
          chunk.touched.resize(parts);
          for (auto& touched : chunk.touched) touched.clear();
          Backward<decltype(common)::value, decltype(mapped)::value> backward(scene, gradients,
                                                                              first + task / per_entry, chunk);
          const int64_t from = task % per_entry * chunk_rays;
          for (int64_t p = from; p < std::min(from + chunk_rays, pixels); ++p) backward.run(p);
        };
      });
    });
    for (int64_t i = 0; i < entries * per_entry; ++i) one_width += chunks[i].one_width;

    // One task a part for the features, one a row of texels for the other maps.
    const int64_t feature_tasks = features_needed ? entries * parts : 0;
    run_tasks(feature_tasks + (sheets_wanted ? entries * size : 0), [&] {
      return [&](int64_t task) {
        if (task < feature_tasks) {
          const int64_t entry = task / parts, part = task % parts, b = first + entry;
          scatter_features(chunks.data() + entry * per_entry, per_entry, static_cast<int>(part),
                           seen + b * pixels * channels, size, channels,
                           for_features.mutable_data_ptr<float>() + (b * parts + part) * size * size * channels);
          return;
        }
        const int64_t entry = (task - feature_tasks) / size, y = (task - feature_tasks) % size, b = first + entry;
        const auto collect = [&](std::vector<float> Chunk::* map, bool border, const Tensor& result) {
          collect_row(scene, chunks.data() + entry * per_entry, per_entry, map, border, y,
                      result.mutable_data_ptr<float>() + b * parts * size * size);
        };
        collect(&Chunk::depth, true, for_depth);
        collect(&Chunk::optical_depth, false, for_optical_depth);
        if (scene.mapped_width) collect(&Chunk::width, true, for_width);
      };
    });
  }
  if (sheets_wanted && !scene.mapped_width) for_width.fill_(one_width);
  return {for_features, for_depth, for_optical_depth, for_width, for_origins, for_directions};
}

}  // namespace ssgan
