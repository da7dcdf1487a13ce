// A warp a ray: what the CUDA kernels do, written for any `Warp` of 32 lanes that can run a function in every lane and
// exchange values between them. lifting_cuda.cu has the warp of a GPU; the tests have one that a CPU runs lane by lane.
//
// Lanes stand for boundaries and segments while optical depths are found, for parts while texels are collected, and
// for channels (eight lanes a corner of a cell, four channels each) while features are read. A part of the code that
// lanes run on their own is a lambda:
//   warp.each(f)   f(lane) in all lanes; then all see what others wrote to scratch memory
//   warp.apart(f)  likewise, but what f leaves in scratch memory waits for the next each, and what it reads there is not
//                  written before one
// Outside of lambdas everything is the same for all lanes.

#pragma once

#include "lifting_job.h"

namespace ssgan {

#if defined(__CUDACC__)
#define SSGAN_WARP __device__ __forceinline__
#else
#define SSGAN_WARP inline
#endif

constexpr int kWarp = 32;
constexpr int kCornerLanes = kWarp / 4;  // lanes that read one corner of a cell
constexpr int kStepChannels = 4 * kCornerLanes;
constexpr int kSegmentLanes = kWarp - 1;  // segments between a warp of boundaries

SSGAN_INLINE int round_up(int value, int unit) { return (value + unit - 1) / unit * unit; }

// Values of four parts or channels, side by side.
struct alignas(16) Four {
  float v[4];
};

// A warp's scratch memory, in floats. Rows of `pitch`, which is odd, so that neither lanes over segments nor lanes over
// parts meet in a bank.
struct Scratch {
  int pitch, stride;
  float *sorted, *placed, *row, *per_tau, *cell_x, *cell_y, *tau;
  float *before, *by_total, *by_weight, *carry, *middle_width;  // of the backward pass only
  int* cell_offset;

  static SSGAN_INLINE int pitch_for(int boundaries) { return boundaries | 1; }

  static SSGAN_INLINE int floats(const RenderJob& job, bool backward) {
    const int pitch = pitch_for(job.boundary_count());
    const int grids = backward ? (job.width ? 4 : 2) : 1;
    return pitch * (job.stride * grids + (backward ? 9 : 7)) + (backward ? job.stride : 0);
  }

  SSGAN_INLINE Scratch(float* memory, const RenderJob& job, bool backward)
      : pitch(pitch_for(job.boundary_count())), stride(job.stride) {
    float* const rows = memory;
    sorted = rows;
    placed = rows + pitch;
    row = rows + 2 * pitch;
    per_tau = rows + 3 * pitch;
    cell_x = rows + 4 * pitch;
    cell_y = rows + 5 * pitch;
    cell_offset = reinterpret_cast<int*>(rows + 6 * pitch);
    float* next = rows + 7 * pitch;
    before = by_total = by_weight = carry = middle_width = nullptr;
    if (backward) {
      before = next;
      by_total = next + pitch;
      next += 2 * pitch;
    }
    tau = next;
    if (!backward) return;
    by_weight = tau + stride * pitch;
    carry = by_weight + stride * pitch;
    if (job.width) middle_width = carry + stride;
  }

  // One more map of values when width is a map; see RayBackward.
  SSGAN_INLINE float* boundary_width() const { return middle_width + stride * pitch; }
};

// The part of a ray's calculation that forward and backward share.
template <class Warp>
class Ray {
 public:
  template <class T>
  using Lanes = typename Warp::template Lanes<T>;

  SSGAN_WARP Ray(Warp& warp, const RenderJob& job, const Scratch& scratch, int entry, int pixel)
      : warp(warp),
        job(job),
        setup(*job.setup),
        scratch(scratch),
        at(static_cast<int64_t>(entry) * job.pixels + pixel),
        map_at(static_cast<int64_t>(entry) * (job.size + 2) * (job.size + 2) * job.stride),
        feature_map(static_cast<int64_t>(entry) * job.parts),
        common(setup.common_window != 0),
        segments(job.boundary_count() - 1) {
    for (int i = 0; i < 3; ++i) {
      origin[i] = job.origins[at * 3 + i];
      direction[i] = job.directions[at * 3 + i];
    }
  }

  SSGAN_WARP float along(int axis, float distance) const { return origin[axis] + direction[axis] * distance; }
  SSGAN_WARP float middle(const float* boundaries, int n) const { return (boundaries[n + 1] + boundaries[n]) * 0.5f; }
  SSGAN_WARP Grid padded() const { return padded_grid(job.size, job.stride); }
  SSGAN_WARP Grid bare() const { return feature_grid(job.size); }
  SSGAN_WARP Cell<float> cell_of(const Grid& grid, int part, float distance) const {
    return locate<float>(grid, setup.windows[part], along(0, distance), along(1, distance));
  }

  // The corners of one part's cell in a laid out map.
  SSGAN_WARP Bilinear<float> corners(const float* map, const Cell<float>& cell, int part) const {
    const float* p = map + map_at + cell.offset + part;
    const int below = (job.size + 2) * job.stride;
    return {cell.x, cell.y, p[0], p[job.stride], p[below], p[below + job.stride]};
  }

  // Samples of four parts at one distance; `cell` is theirs if they share a window.
  SSGAN_WARP Four sample(const float* map, const Cell<float>& cell, int quad, float distance) const {
    Four result;
    if (common) {
      const float* p = map + map_at + cell.offset + 4 * quad;
      const int below = (job.size + 2) * job.stride;
      const Four p00 = Warp::load_four(p), p01 = Warp::load_four(p + job.stride);
      const Four p10 = Warp::load_four(p + below), p11 = Warp::load_four(p + below + job.stride);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        result.v[j] = Bilinear<float>{cell.x, cell.y, p00.v[j], p01.v[j], p10.v[j], p11.v[j]}.value();
      }
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        result.v[j] = corners(map, cell_of(padded(), 4 * quad + j, distance), 4 * quad + j).value();
      }
    }
    return result;
  }

  // One over the widths of four parts.
  SSGAN_WARP Four per_width(const Cell<float>& cell, int quad, float distance) const {
    Four result;
    if (job.width) {
      result = sample(job.width, cell, quad, distance);
#pragma unroll
      for (int j = 0; j < 4; ++j) result.v[j] = 1.0f / result.v[j];
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) result.v[j] = setup.per_one_width;
    }
    return result;
  }

  // q of four parts at a boundary.
  SSGAN_WARP Four sheet_distance(const Cell<float>& cell, int quad, float distance, const Four& per) const {
    Four q = sample(job.depth, cell, quad, distance);
    const float z = along(2, distance);
#pragma unroll
    for (int j = 0; j < 4; ++j) q.v[j] = (z - q.v[j]) * per.v[j];
    return q;
  }

  // Optical depth of every part in the segments between `count` boundaries, to scratch.tau; totals to scratch.row.
  SSGAN_WARP void cut(const float* boundaries, int count) {
    for (int base = 0; base < count - 1; base += kSegmentLanes) {
      Lanes<Cell<float>> at_boundary, at_middle;
      Lanes<float> total;
      warp.apart([&](int lane) {
        const int n = least_int(base + lane, count - 1);
        total[lane] = 0;
        if (common) {
          at_boundary[lane] = cell_of(padded(), 0, boundaries[n]);
          at_middle[lane] = cell_of(padded(), 0, middle(boundaries, least_int(n, count - 2)));
        }
      });
      for (int quad = 0; quad < job.stride / 4; ++quad) {
        Lanes<Four> q, e;
        warp.apart([&](int lane) {
          const float distance = boundaries[least_int(base + lane, count - 1)];
          const Four per = per_width(at_boundary[lane], quad, distance);
          q[lane] = sheet_distance(at_boundary[lane], quad, distance, per);
          float g;
#pragma unroll
          for (int j = 0; j < 4; ++j) e[lane].v[j] = gaussian_integral(q[lane].v[j], g);
        });
        const Lanes<Four> q1 = warp.next(q), e1 = warp.next(e);
        warp.apart([&](int lane) {
          const int n = base + lane;
          if (lane == kSegmentLanes || n >= count - 1) return;
          const float distance = middle(boundaries, n), length = boundaries[n + 1] - boundaries[n];
          const Four kappa = sample(job.optical_depth, at_middle[lane], quad, distance);
          const Four per = per_width(at_middle[lane], quad, distance);
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            const float mean = mean_gaussian(q[lane].v[j], q1[lane].v[j], e[lane].v[j], e1[lane].v[j]);
            const bool meets = meets_sheet(q[lane].v[j], q1[lane].v[j]);
            const float tau = meets ? kappa.v[j] * per.v[j] * kPeakPerDepth * length * mean : 0.0f;
            scratch.tau[(4 * quad + j) * scratch.pitch + n] = tau;
            total[lane] += tau;
          }
        });
      }
      warp.each([&](int lane) {
        const int n = base + lane;
        if (lane != kSegmentLanes && n < count - 1) scratch.row[n] = total[lane];
      });
    }
  }

  // The weight that a unit of optical depth gets in each segment, to scratch.per_tau, and in the backward pass the
  // transmittance before each; scratch.row holds the totals. Returns the transmittance of all.
  SSGAN_WARP float composite(int count) {
    float carried = 0;
    for (int base = 0; base < count; base += kWarp) {
      Lanes<float> passed;
      warp.apart([&](int lane) { passed[lane] = base + lane < count ? scratch.row[base + lane] : 0.0f; });
      warp.scan(passed);
      const Lanes<float> earlier = warp.previous(passed, 0.0f);
      warp.each([&](int lane) {
        const int n = base + lane;
        if (n >= count) return;
        const float tau = scratch.row[n], before = transmitted(carried + earlier[lane]);
        scratch.per_tau[n] = before * absorbed_per_tau(tau, exp_negative(-tau));
        if (scratch.before) scratch.before[n] = before;
      });
      carried += warp.broadcast(passed, kWarp - 1);
    }
    return transmitted(carried);
  }

  // Where the midpoints or boundaries lie in a grid, for lanes over parts: a shared cell comes from scratch memory.
  SSGAN_WARP void remember_cells(const Grid& grid, const float* boundaries, int count, bool at_middle) {
    if (!common) return;
    warp.each([&](int lane) {
      for (int n = lane; n < count; n += kWarp) {
        const Cell<float> cell = cell_of(grid, 0, at_middle ? middle(boundaries, n) : boundaries[n]);
        scratch.cell_offset[n] = cell.offset;
        scratch.cell_x[n] = cell.x;
        scratch.cell_y[n] = cell.y;
      }
    });
  }
  SSGAN_WARP Cell<float> remembered(const Grid& grid, int part, float distance, int n) const {
    if (common) return {scratch.cell_offset[n], scratch.cell_x[n], scratch.cell_y[n], 0.0f, 0.0f};
    return cell_of(grid, part, distance);
  }

  // The terms of the feature sum, a lane a part: neighbouring segments that lie in one cell of a part's map are merged,
  // then `read` gets the lane whose cell is complete. Also sums the weights of each part.
  struct Terms {
    Lanes<int> texel;  // upper left texel of the cell, -1 without one
    Lanes<int> first, last;
    Lanes<float> weights[4];
    Lanes<float> mask;
  };
  template <class Read>
  SSGAN_WARP void collect(Terms& terms, Read read) {
    remember_cells(bare(), scratch.sorted, segments, true);
    warp.apart([&](int lane) {
      terms.texel[lane] = -1;
      terms.mask[lane] = 0;
    });
    for (int n = 0; n <= segments; ++n) {  // the last round completes what is left
      Lanes<float> weight;
      Lanes<Cell<float>> cell;
      Lanes<bool> complete;
      warp.apart([&](int lane) {
        weight[lane] = 0;
        if (lane < job.parts && n < segments) weight[lane] = scratch.tau[lane * scratch.pitch + n] * scratch.per_tau[n];
        terms.mask[lane] += weight[lane];
        const bool kept = weight[lane] >= kFeatureEpsilon;
        if (kept) cell[lane] = remembered(bare(), lane, middle(scratch.sorted, n), n);
        complete[lane] = terms.texel[lane] >= 0 && (n == segments || (kept && cell[lane].offset != terms.texel[lane]));
      });
      for (unsigned waiting = warp.ballot(complete); waiting; waiting &= waiting - 1) read(Warp::lowest(waiting));
      warp.apart([&](int lane) {
        if (!(weight[lane] >= kFeatureEpsilon)) return;
        if (cell[lane].offset != terms.texel[lane]) {
          terms.texel[lane] = cell[lane].offset;
          terms.first[lane] = n;
#pragma unroll
          for (int corner = 0; corner < 4; ++corner) terms.weights[corner][lane] = 0;
        }
        terms.last[lane] = n;
        const float x = cell[lane].x, lower = cell[lane].y * weight[lane], upper = weight[lane] - lower;
        terms.weights[0][lane] += upper - x * upper;
        terms.weights[1][lane] += x * upper;
        terms.weights[2][lane] += lower - x * lower;
        terms.weights[3][lane] += x * lower;
      });
    }
  }

  // The first of the four channels of step 0 that a lane reads, and where its corner of a cell starts.
  static SSGAN_WARP int first_channel(int lane) { return lane % kCornerLanes * 4; }
  SSGAN_WARP int64_t texel_at(int lane, int part, int texel) const {
    const int corner = lane / kCornerLanes;
    const int64_t maps = (feature_map + part) * job.size * job.size;
    return (maps + texel + corner % 2 + corner / 2 * job.size) * job.channels;
  }
  static SSGAN_WARP float of_corner(int lane, float w0, float w1, float w2, float w3) {
    const int corner = lane / kCornerLanes;
    const float left = corner < 2 ? w0 : w2, right = corner < 2 ? w1 : w3;
    return corner % 2 ? right : left;
  }

  static SSGAN_WARP int least_int(int a, int b) { return a < b ? a : b; }

  Warp& warp;
  const RenderJob& job;
  const Setup& setup;
  const Scratch& scratch;
  const int64_t at, map_at, feature_map;  // of this ray in [B, P], of its maps, of its first feature map
  const bool common;
  const int segments;
  float origin[3], direction[3];
};

// Places the boundaries of a ray that crosses the box, ascending, to scratch.sorted.
template <class Warp>
SSGAN_WARP void place_boundaries(Ray<Warp>& ray, float near, float far) {
  auto& warp = ray.warp;
  const Scratch& scratch = ray.scratch;
  const int uniform = ray.job.uniform, importance = ray.job.importance, coarse = uniform - 1;
  float* const edges = importance ? scratch.placed : scratch.sorted;
  warp.each([&](int lane) {
    for (int n = lane; n < uniform; n += kWarp) edges[n] = near + (far - near) * (static_cast<float>(n) / coarse);
  });
  if (!importance) return;

  ray.cut(edges, uniform);
  ray.composite(coarse);
  warp.each([&](int lane) {
    for (int n = lane; n < coarse; n += kWarp) scratch.per_tau[n] *= scratch.row[n];
  });
  // Masses of the quantiles, and their running sums.
  float sum = 0;
  for (int base = 0; base < coarse; base += kWarp) {
    typename Warp::template Lanes<float> running;
    warp.apart([&](int lane) {
      const int n = base + lane;
      running[lane] = n < coarse ? resampling_mass(scratch.per_tau, n, coarse) : 0;
    });
    warp.scan(running);
    warp.each([&](int lane) {
      if (base + lane < coarse) scratch.row[base + lane] = sum + running[lane];
    });
    sum += warp.broadcast(running, kWarp - 1);
  }
  warp.each([&](int lane) {
    for (int n = lane; n < coarse; n += kWarp) scratch.row[n] /= sum;
  });
  float* const fine = edges + uniform;
  warp.each([&](int lane) {
    for (int j = lane; j < importance; j += kWarp) {
      const float wanted = wanted_share(j, importance);
      int above = 0, end = coarse - 1;
      while (above < end) {
        const int half = (above + end) / 2;
        if (scratch.row[half] <= wanted) {
          above = half + 1;
        } else {
          end = half;
        }
      }
      fine[j] = quantile_between(edges, scratch.row, above, wanted);
    }
  });
  // Merge the two ascending runs: a boundary's place is its place in its run and how many of the other come before.
  warp.each([&](int lane) {
    for (int n = lane; n < uniform + importance; n += kWarp) {
      const bool is_coarse = n < uniform;
      const float* other = is_coarse ? fine : edges;
      int before = 0, end = is_coarse ? importance : uniform;
      while (before < end) {
        const int half = (before + end) / 2;
        if (is_coarse ? other[half] < edges[n] : other[half] <= edges[n]) {
          before = half + 1;
        } else {
          end = half;
        }
      }
      scratch.sorted[before + (is_coarse ? n : n - uniform)] = edges[n];
    }
  });
}

// One ray's results. Texel is what a feature is stored as; Steps times 32 channels are read at once.
template <int Steps, class Texel, class Warp>
SSGAN_WARP void ray_forward(Warp& warp, const RenderJob& job, const Scratch& scratch, int entry, int pixel) {
  Ray<Warp> ray(warp, job, scratch, entry, pixel);
  float near, far;
  clip_to_box(ray.setup.box, ray.origin, ray.direction, near, far);
  const bool missed = far == 0;
  if (!missed) {
    place_boundaries(ray, near, far);
    ray.cut(scratch.sorted, job.boundary_count());
  }
  const float transmittance = missed ? 1.0f : ray.composite(ray.segments);
  typename Warp::template Lanes<float> distance;
  warp.apart([&](int lane) {
    distance[lane] = 0;
    for (int n = lane; n <= ray.segments; n += kWarp) {
      job.boundaries[ray.at * job.boundary_count() + n] = missed ? 0.0f : scratch.sorted[n];
      if (missed || n == ray.segments) continue;
      distance[lane] += scratch.row[n] * scratch.per_tau[n] * ray.middle(scratch.sorted, n);
    }
  });
  const float total = warp.sum(distance);
  warp.apart([&](int lane) {
    if (lane) return;
    job.transmittance[ray.at] = transmittance;
    job.distance[ray.at] = total;
  });

  for (int first = 0; first < job.channels; first += Steps * kStepChannels) {
    typename Ray<Warp>::Terms terms;
    typename Warp::template Lanes<Four> sums[Steps];
    warp.apart([&](int lane) {
      terms.mask[lane] = 0;
#pragma unroll
      for (int step = 0; step < Steps; ++step) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[step][lane].v[j] = 0;
      }
    });
    if (!missed) {
      ray.collect(terms, [&](int part) {
        const int texel = warp.broadcast(terms.texel, part);
        const float w0 = warp.broadcast(terms.weights[0], part), w1 = warp.broadcast(terms.weights[1], part);
        const float w2 = warp.broadcast(terms.weights[2], part), w3 = warp.broadcast(terms.weights[3], part);
        warp.apart([&](int lane) {
          const float weight = ray.of_corner(lane, w0, w1, w2, w3);
          const int channel = first + ray.first_channel(lane);
          const Texel* from = static_cast<const Texel*>(job.features) + ray.texel_at(lane, part, texel) + channel;
#pragma unroll
          for (int step = 0; step < Steps; ++step) {
            if (channel + step * kStepChannels >= job.channels) continue;
            const Four value = Warp::load_four(from + step * kStepChannels, job.number);
#pragma unroll
            for (int j = 0; j < 4; ++j) sums[step][lane].v[j] += weight * value.v[j];
          }
        });
      });
    }
#pragma unroll
    for (int step = 0; step < Steps; ++step) {
      warp.fold(sums[step], kCornerLanes);
      warp.fold(sums[step], 2 * kCornerLanes);
    }
    warp.apart([&](int lane) {
      if (first == 0 && lane < job.parts) job.masks[ray.at * job.parts + lane] = terms.mask[lane];
#pragma unroll
      for (int step = 0; step < Steps; ++step) {
        const int channel = first + ray.first_channel(lane) + step * kStepChannels;
        if (lane >= kCornerLanes || channel >= job.channels) continue;
        Warp::store_four(job.picture + ray.at * job.channels + channel, sums[step][lane]);
      }
    });
  }
}

// One ray's gradients.
template <int Steps, class Texel, class Warp>
class RayBackward {
 public:
  template <class T>
  using Lanes = typename Warp::template Lanes<T>;

  SSGAN_WARP RayBackward(Warp& warp, const RenderJob& job, const Scratch& scratch, int entry, int pixel)
      : warp_(warp), job_(job), scratch_(scratch), ray_(warp, job, scratch, entry, pixel) {}

  SSGAN_WARP void run() {
    const float* boundaries = job_.boundaries + ray_.at * job_.boundary_count();
    warp_.each([&](int lane) {
      for (int n = lane; n <= ray_.segments; n += kWarp) scratch_.sorted[n] = boundaries[n];
    });
    warp_.apart([&](int lane) {
      by_width_[lane] = 0;
#pragma unroll
      for (int i = 0; i < 6; ++i) by_point_[i][lane] = 0;
    });
    if (scratch_.sorted[ray_.segments] > 0) {  // else the ray misses everything
      ray_.cut(scratch_.sorted, job_.boundary_count());
      const float transmittance = ray_.composite(ray_.segments);
      weights();
      totals(transmittance * job_.by_transmittance[ray_.at]);
      densities();
      const Grid grid = ray_.padded();
      ray_.remember_cells(grid, scratch_.sorted, ray_.segments, true);
      scatter(scratch_.by_weight, ray_.segments, true, job_.for_optical_depth);
      if (job_.width) scatter(scratch_.middle_width, ray_.segments, true, job_.for_width);
      ray_.remember_cells(grid, scratch_.sorted, ray_.segments + 1, false);
      scatter(scratch_.tau, ray_.segments + 1, false, job_.for_depth);
      if (job_.width) scatter(scratch_.boundary_width(), ray_.segments + 1, false, job_.for_width);
    }
    if (job_.for_one_width) {
      const float by_width = warp_.sum(by_width_);
      warp_.apart([&](int lane) {
        if (lane == 0) job_.for_one_width[ray_.at] = by_width;
      });
    }
    if (!job_.for_origins) return;
#pragma unroll
    for (int i = 0; i < 6; ++i) {
      const float by_point = warp_.sum(by_point_[i]);
      warp_.apart([&](int lane) {
        if (lane == 0) (i < 3 ? job_.for_origins : job_.for_directions)[ray_.at * 3 + i % 3] = by_point;
      });
    }
  }

 private:
  // Derivative by each part's weight in each segment, through masks, distance and features, to scratch.by_weight; and
  // the features' own gradient.
  SSGAN_WARP void weights() {
    const float by_distance = job_.by_distance[ray_.at];
    warp_.each([&](int lane) {
      for (int n = lane; n < ray_.segments; n += kWarp) {
        const float add = by_distance * ray_.middle(scratch_.sorted, n);
        for (int part = 0; part < job_.stride; ++part) {
          const float by_mask = part < job_.parts ? job_.by_masks[ray_.at * job_.parts + part] : 0.0f;
          scratch_.by_weight[part * scratch_.pitch + n] = by_mask + add;
        }
      }
    });
    for (int first = 0; first < job_.channels; first += Steps * kStepChannels) {
      Lanes<Four> seen[Steps];
      warp_.apart([&](int lane) {
#pragma unroll
        for (int step = 0; step < Steps; ++step) {
          const int channel = first + ray_.first_channel(lane) + step * kStepChannels;
          if (channel < job_.channels) {
            seen[step][lane] = Warp::load_four(job_.by_picture + ray_.at * job_.channels + channel);
          } else {
            seen[step][lane] = Four{{0, 0, 0, 0}};
          }
        }
      });
      typename Ray<Warp>::Terms terms;
      ray_.collect(terms, [&](int part) { pass_features(terms, part, first, seen); });
    }
  }

  // The gradient of one complete cell of a part's features, and what its inner products mean for its segments.
  SSGAN_WARP void pass_features(typename Ray<Warp>::Terms& terms, int part, int first, Lanes<Four>* seen) {
    const int texel = warp_.broadcast(terms.texel, part);
    const float w0 = warp_.broadcast(terms.weights[0], part), w1 = warp_.broadcast(terms.weights[1], part);
    const float w2 = warp_.broadcast(terms.weights[2], part), w3 = warp_.broadcast(terms.weights[3], part);
    Lanes<float> product;
    warp_.apart([&](int lane) {
      const float weight = ray_.of_corner(lane, w0, w1, w2, w3);
      const int channel = first + ray_.first_channel(lane);
      const int64_t texel_at = ray_.texel_at(lane, part, texel) + channel;
      product[lane] = 0;
#pragma unroll
      for (int step = 0; step < Steps; ++step) {
        if (channel + step * kStepChannels >= job_.channels) continue;
        const Four value =
            Warp::load_four(static_cast<const Texel*>(job_.features) + texel_at + step * kStepChannels, job_.number);
        Four gradient;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          product[lane] += value.v[j] * seen[step][lane].v[j];
          gradient.v[j] = weight * seen[step][lane].v[j];
        }
        if (job_.for_features) Warp::add_four(job_.for_features + texel_at + step * kStepChannels, gradient);
      }
    });
    warp_.fold(product, 1);
    warp_.fold(product, 2);
    warp_.fold(product, 4);
    const Bilinear<float> products{0, 0, warp_.broadcast(product, 0), warp_.broadcast(product, kCornerLanes),
                                   warp_.broadcast(product, 2 * kCornerLanes),
                                   warp_.broadcast(product, 3 * kCornerLanes)};
    const int last = warp_.broadcast(terms.last, part);
    const int start = warp_.broadcast(terms.first, part);
    const Window<float> window = ray_.setup.windows[part];
    warp_.each([&](int lane) {
      for (int n = start + lane; n <= last; n += kWarp) {
        const int here = part * scratch_.pitch + n;
        const float weight = scratch_.tau[here] * scratch_.per_tau[n];
        if (!(weight >= kFeatureEpsilon)) continue;
        const float distance = ray_.middle(scratch_.sorted, n);
        const Cell<float> cell = ray_.cell_of(ray_.bare(), part, distance);
        Bilinear<float> within = products;
        within.x = cell.x;
        within.y = cell.y;
        scratch_.by_weight[here] += within.value();
        if (!job_.for_origins) continue;
        move(lane, weight * within.by_column() * cell.inside_across * window.across,
             -weight * within.by_row() * cell.inside_down * window.down, distance);
      }
    });
  }

  // Derivative by each segment's optical depth through the weights of all, to scratch.by_total: behind it less light
  // arrives.
  SSGAN_WARP void totals(float through_transmittance) {
    float behind = through_transmittance;
    const int blocks = (ray_.segments + kWarp - 1) / kWarp;
    for (int block = blocks - 1; block >= 0; --block) {
      // From back to front: lane 0 has the last segment of the block.
      Lanes<float> by_per_tau, sums;
      warp_.apart([&](int lane) {
        const int n = block * kWarp + kWarp - 1 - lane;
        by_per_tau[lane] = sums[lane] = 0;
        if (n >= ray_.segments) return;
        for (int part = 0; part < job_.stride; ++part) {
          const int here = part * scratch_.pitch + n;
          by_per_tau[lane] += scratch_.by_weight[here] * scratch_.tau[here];
        }
        sums[lane] = by_per_tau[lane] * scratch_.per_tau[n];
      });
      warp_.scan(sums);
      const Lanes<float> nearer_the_end = warp_.previous(sums, 0.0f);
      warp_.each([&](int lane) {
        const int n = block * kWarp + kWarp - 1 - lane;
        if (n >= ray_.segments) return;
        const float tau = scratch_.row[n], through = exp_negative(-tau);
        const float slope = absorbed_per_tau_slope(tau, through, absorbed_per_tau(tau, through));
        scratch_.by_total[n] = by_per_tau[lane] * scratch_.before[n] * slope - (behind + nearer_the_end[lane]);
      });
      behind += warp_.broadcast(sums, kWarp - 1);
    }
  }

  // From the optical depths to depth and width at the boundaries, kappa and width at the midpoints. The derivatives by
  // kappa take the place of scratch.by_weight, those by depth that of scratch.tau.
  SSGAN_WARP void densities() {
    const int count = ray_.segments + 1;
    for (int base = 0; base < ray_.segments; base += kSegmentLanes) {
      const bool final = base + kSegmentLanes >= ray_.segments;
      Lanes<Cell<float>> at_boundary, at_middle;
      warp_.apart([&](int lane) {
        const int n = ray_.least_int(base + lane, ray_.segments);
        if (!ray_.common) return;
        at_boundary[lane] = ray_.cell_of(ray_.padded(), 0, scratch_.sorted[n]);
        at_middle[lane] =
            ray_.cell_of(ray_.padded(), 0, ray_.middle(scratch_.sorted, ray_.least_int(n, ray_.segments - 1)));
      });
      for (int quad = 0; quad < job_.stride / 4; ++quad) {
        Lanes<Four> per, q, e, g, left, right;
        warp_.apart([&](int lane) {
          const float distance = scratch_.sorted[ray_.least_int(base + lane, ray_.segments)];
          per[lane] = ray_.per_width(at_boundary[lane], quad, distance);
          q[lane] = ray_.sheet_distance(at_boundary[lane], quad, distance, per[lane]);
#pragma unroll
          for (int j = 0; j < 4; ++j) e[lane].v[j] = gaussian_integral(q[lane].v[j], g[lane].v[j]);
        });
        const Lanes<Four> q1 = warp_.next(q), e1 = warp_.next(e), g1 = warp_.next(g);
        warp_.apart([&](int lane) {
          left[lane] = right[lane] = Four{{0, 0, 0, 0}};
          const int n = base + lane;
          if (lane == kSegmentLanes || n >= ray_.segments) return;
          segment(lane, n, quad, at_middle[lane], q[lane], q1[lane], e[lane], e1[lane], g[lane], g1[lane], left[lane],
                  right[lane]);
        });
        const Lanes<Four> from_nearer = warp_.previous(right, Four{{0, 0, 0, 0}});
        warp_.each([&](int lane) {
          const int n = base + lane;
          // The last lane's boundary belongs to the next round, unless there is none.
          if (n >= count || (lane == kSegmentLanes && !final)) return;
          boundary(lane, n, quad, base, at_boundary[lane], q[lane], per[lane], left[lane], from_nearer[lane]);
        });
        if (final) continue;
        warp_.each([&](int lane) {
          if (lane != kSegmentLanes - 1) return;
#pragma unroll
          for (int j = 0; j < 4; ++j) scratch_.carry[4 * quad + j] = right[lane].v[j];
        });
      }
    }
  }

  SSGAN_WARP void segment(int lane, int n, int quad, const Cell<float>& cell, const Four& q0, const Four& q1,
                          const Four& e0, const Four& e1, const Four& g0, const Four& g1, Four& left, Four& right) {
    const float distance = ray_.middle(scratch_.sorted, n);
    const float length = scratch_.sorted[n + 1] - scratch_.sorted[n];
    const Four kappa = ray_.sample(job_.optical_depth, cell, quad, distance);
    const Four per = ray_.per_width(cell, quad, distance);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int here = (4 * quad + j) * scratch_.pitch + n;
      const bool meets = meets_sheet(q0.v[j], q1.v[j]);
      const float mean = meets ? mean_gaussian(q0.v[j], q1.v[j], e0.v[j], e1.v[j]) : 0.0f;
      const float by_tau = meets ? scratch_.by_weight[here] * scratch_.per_tau[n] + scratch_.by_total[n] : 0.0f;
      const float unit = per.v[j] * kPeakPerDepth * length;  // optical depth for kappa and mean one
      mean_gaussian_slopes(q0.v[j], q1.v[j], mean, g0.v[j], g1.v[j], left.v[j], right.v[j]);
      left.v[j] *= by_tau * kappa.v[j] * unit;
      right.v[j] *= by_tau * kappa.v[j] * unit;
      const float by_kappa = by_tau * unit * mean, by_width = -by_tau * scratch_.tau[here] * per.v[j];
      scratch_.by_weight[here] = by_kappa;
      if (job_.for_origins) move_sample(lane, job_.optical_depth, cell, 4 * quad + j, by_kappa, distance);
      if (job_.width) {
        scratch_.middle_width[here] = by_width;
        if (job_.for_origins) move_sample(lane, job_.width, cell, 4 * quad + j, by_width, distance);
      } else {
        by_width_[lane] += by_width;
      }
    }
  }

  SSGAN_WARP void boundary(int lane, int n, int quad, int base, const Cell<float>& cell, const Four& q, const Four& per,
                           const Four& left, const Four& from_nearer) {
    const float distance = scratch_.sorted[n];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int part = 4 * quad + j, here = part * scratch_.pitch + n;
      const float nearer = lane == 0 && base > 0 ? scratch_.carry[part] : from_nearer.v[j];
      const float by_depth = -(left.v[j] + nearer) * per.v[j], by_width = by_depth * q.v[j];
      scratch_.tau[here] = by_depth;
      if (job_.for_origins) {
        by_point_[2][lane] -= by_depth;
        by_point_[5][lane] -= by_depth * distance;
        move_sample(lane, job_.depth, cell, part, by_depth, distance);
      }
      if (job_.width) {
        scratch_.boundary_width()[here] = by_width;
        if (job_.for_origins) move_sample(lane, job_.width, cell, part, by_width, distance);
      } else {
        by_width_[lane] += by_width;
      }
    }
  }

  // What a sample's gradient means for the ray.
  SSGAN_WARP void move_sample(int lane, const float* map, const Cell<float>& shared, int part, float gradient,
                              float distance) {
    const Cell<float> cell = ray_.common ? shared : ray_.cell_of(ray_.padded(), part, distance);
    const Bilinear<float> corners = ray_.corners(map, cell, part);
    const Window<float>& window = ray_.setup.windows[part];
    move(lane, gradient * corners.by_column() * cell.inside_across * window.across,
         -gradient * corners.by_row() * cell.inside_down * window.down, distance);
  }

  // A point's x and y at a fixed distance move with the ray's origin and direction.
  SSGAN_WARP void move(int lane, float x, float y, float distance) {
    by_point_[0][lane] += x;
    by_point_[1][lane] += y;
    by_point_[3][lane] += x * distance;
    by_point_[4][lane] += y * distance;
  }

  // Adds values at midpoints or boundaries to the texels of a laid out map: a lane a part, or as many runs a part as
  // there are lanes for. What falls into one cell is summed first, so that parts side by side add together.
  SSGAN_WARP void scatter(const float* values, int count, bool at_middle, float* map) {
    const int runs = kWarp / job_.stride, run = (count + runs - 1) / runs;
    const Grid grid = ray_.padded();
    warp_.each([&](int lane) {
      const int part = lane % job_.stride, begin = lane / job_.stride * run;
      if (part >= job_.parts || lane / job_.stride >= runs) return;
      const int end = ray_.least_int(begin + run, count);
      float* const to = map + ray_.map_at + part;
      int texel = -1;
      float s00 = 0, s01 = 0, s10 = 0, s11 = 0;
      for (int n = begin; n < end; ++n) {
        const float value = values[part * scratch_.pitch + n];
        const float distance = at_middle ? ray_.middle(scratch_.sorted, n) : scratch_.sorted[n];
        const Cell<float> cell = ray_.remembered(grid, part, distance, n);
        if (cell.offset != texel) {
          add_corners(to, texel, s00, s01, s10, s11);
          texel = cell.offset;
          s00 = s01 = s10 = s11 = 0;
        }
        const float lower = cell.y * value, upper = value - lower;
        s00 += upper - cell.x * upper;
        s01 += cell.x * upper;
        s10 += lower - cell.x * lower;
        s11 += cell.x * lower;
      }
      add_corners(to, texel, s00, s01, s10, s11);
    });
  }

  SSGAN_WARP void add_corners(float* map, int texel, float s00, float s01, float s10, float s11) const {
    if (s00 == 0 && s01 == 0 && s10 == 0 && s11 == 0) return;
    float* const p = map + texel;
    const int below = (job_.size + 2) * job_.stride;
    Warp::add(p, s00);
    Warp::add(p + job_.stride, s01);
    Warp::add(p + below, s10);
    Warp::add(p + below + job_.stride, s11);
  }

  Warp& warp_;
  const RenderJob& job_;
  const Scratch& scratch_;
  Ray<Warp> ray_;
  Lanes<float> by_width_, by_point_[6];
};

}  // namespace ssgan
