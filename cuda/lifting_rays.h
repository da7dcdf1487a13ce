// One ray at a time on a CPU. Parts are the vector dimension: maps hold the values of all parts of a texel side by
// side, padded to whole blocks of kLanes.

#pragma once

#include <algorithm>
#include <vector>

#include "lanes.h"

namespace ssgan {

using Windows = Window<Lanes>;  // a lane a part

// The sheets of one batch entry.
struct Sheets {
  const float* features;       // [parts][size][size][channels]
  const float* depth;          // [size + 2][size + 2][stride]
  const float* optical_depth;  // likewise
  const float* width;          // likewise; null if the width is one number
  float per_one_width;         // one over it
  const Windows* windows;  // [stride / kLanes]
  int parts, stride, size, channels;

  Grid padded() const { return padded_grid(size, stride); }
  Grid bare() const { return feature_grid(size); }
};

// Where points lie in the padded maps: one cell for all parts if they share a window, else one for each.
struct Cells {
  std::vector<int> offset;                        // of the upper left texel
  std::vector<float> x, y;                        // within the cell, 0 to 1
  std::vector<float> inside_across, inside_down;  // 0 where the sample was clamped: it then does not move, else 1

  explicit Cells(int count) : offset(count), x(count), y(count), inside_across(count), inside_down(count) {}
};

SSGAN_INLINE void locate_lanes(const Grid& grid, const Windows& window, Lanes x, Lanes y, int at, Cells& cells) {
  const Cell<Lanes> cell = locate<Lanes>(grid, window, x, y);
  std::memcpy(cells.offset.data() + at, &cell.offset, sizeof cell.offset);
  store(cells.x.data() + at, cell.x);
  store(cells.y.data() + at, cell.y);
  store(cells.inside_across.data() + at, cell.inside_across);
  store(cells.inside_down.data() + at, cell.inside_down);
}

// Cells of the points first..first + count - 1; arrays reach kLanes further than their last point.
template <bool Common>
void locate_points(const Sheets& sheets, const Grid& grid, const float* origin, const float* direction,
            const float* distances, int first, int count, Cells& cells) {
  if constexpr (Common) {
    for (int n = first; n < first + count; n += kLanes) {
      const Lanes t = load(distances + n);
      locate_lanes(grid, sheets.windows[0], origin[0] + direction[0] * t, origin[1] + direction[1] * t, n, cells);
    }
  } else {
    for (int n = first; n < first + count; ++n) {
      const Lanes x = splat<Lanes>(origin[0] + direction[0] * distances[n]);
      const Lanes y = splat<Lanes>(origin[1] + direction[1] * distances[n]);
      for (int k = 0; k < sheets.stride; k += kLanes) {
        locate_lanes(grid, sheets.windows[k / kLanes], x, y, n * sheets.stride + k, cells);
      }
    }
  }
}

// Reads the cells of a block of parts at point n.
template <bool Common>
SSGAN_INLINE Bilinear<Lanes> read(const Sheets& sheets, const float* map, const Cells& cells, int n, int block) {
  Bilinear<Lanes> result;
  const int right = sheets.stride, below = (sheets.size + 2) * sheets.stride;
  if constexpr (Common) {
    const float* p = map + cells.offset[n] + block * kLanes;
    result.x = splat<Lanes>(cells.x[n]);
    result.y = splat<Lanes>(cells.y[n]);
    result.p00 = load(p);
    result.p01 = load(p + right);
    result.p10 = load(p + below);
    result.p11 = load(p + below + right);
  } else {
    const int at = n * sheets.stride + block * kLanes;
    result.x = load(cells.x.data() + at);
    result.y = load(cells.y.data() + at);
    for (int j = 0; j < kLanes; ++j) {
      const float* p = map + cells.offset[at + j] + block * kLanes + j;
      result.p00[j] = p[0];
      result.p01[j] = p[right];
      result.p10[j] = p[below];
      result.p11[j] = p[below + right];
    }
  }
  return result;
}

// Adds the samples' gradient to a gradient map's texels.
template <bool Common>
SSGAN_INLINE void scatter(const Sheets& sheets, float* map, const Cells& cells, int n, int block, Lanes gradient) {
  const int right = sheets.stride, below = (sheets.size + 2) * sheets.stride;
  if constexpr (Common) {
    float* p = map + cells.offset[n] + block * kLanes;
    const Lanes lower = cells.y[n] * gradient, upper = gradient - lower;
    const Lanes upper_right = cells.x[n] * upper, lower_right = cells.x[n] * lower;
    add_to(p, upper - upper_right);
    add_to(p + right, upper_right);
    add_to(p + below, lower - lower_right);
    add_to(p + below + right, lower_right);
  } else {
    const int at = n * sheets.stride + block * kLanes;
    for (int j = 0; j < kLanes; ++j) {
      float* p = map + cells.offset[at + j] + block * kLanes + j;
      const float lower = cells.y[at + j] * gradient[j], upper = gradient[j] - lower;
      const float upper_right = cells.x[at + j] * upper, lower_right = cells.x[at + j] * lower;
      p[0] += upper - upper_right;
      p[right] += upper_right;
      p[below] += lower - lower_right;
      p[below + right] += lower_right;
    }
  }
}

// What the samples' gradient means for the world x and y of the point.
struct ByPoint {
  float x = 0, y = 0;
};

template <bool Common>
SSGAN_INLINE ByPoint move_point(const Sheets& sheets, const float* map, const Cells& cells, int n, int block,
                                Lanes gradient) {
  const Bilinear<Lanes> cell = read<Common>(sheets, map, cells, n, block);
  const Windows& window = sheets.windows[block];
  const Lanes column = gradient * cell.by_column() * window.across, row = gradient * cell.by_row() * window.down;
  if constexpr (Common) return {sum(column) * cells.inside_across[n], -sum(row) * cells.inside_down[n]};
  const int at = n * sheets.stride + block * kLanes;
  return {sum(column * load(cells.inside_across.data() + at)), -sum(row * load(cells.inside_down.data() + at))};
}

// What one part in one segment contributes to the feature sum.
struct Term {
  int segment, part, touched;
  float weight;
};

// Four feature texels with the summed weights of the terms whose midpoints lie between them. Neighbouring segments
// mostly share their texels, so there are far fewer of these than terms.
struct Touched {
  int ray;
  int texel;  // of the upper left one, within the part's map
  int part;
  float weights[4];
};

// The part of a ray's calculation that forward and backward share.
template <bool Common, bool Mapped>
class Tracer {
 public:
  Tracer(const Sheets& sheets, int uniform, int importance)
      : sheets(sheets),
        uniform(uniform),
        importance(importance),
        boundaries(uniform + importance),
        blocks(sheets.stride / kLanes),
        distance(boundaries + kLanes),
        order(boundaries),
        at_boundaries(Common ? boundaries + kLanes : boundaries * sheets.stride),
        q(boundaries * sheets.stride),
        integral(boundaries * sheets.stride),
        gaussian(boundaries * sheets.stride),
        per_width(Mapped ? boundaries * sheets.stride : 0),
        middle(boundaries + kLanes),
        length(boundaries + kLanes),
        at_middle(Common ? boundaries + kLanes : boundaries * sheets.stride),
        at_features(Common ? boundaries + kLanes : boundaries * sheets.stride),
        active(boundaries * blocks),
        amplitude(boundaries * sheets.stride),
        middle_per_width(Mapped ? boundaries * sheets.stride : 0),
        mean(boundaries * sheets.stride),
        tau(boundaries * sheets.stride),
        total(boundaries + kLanes),
        passed(boundaries + kLanes),
        absorbed(boundaries + kLanes),
        before(boundaries),
        per_tau(boundaries),
        mass_(boundaries),
        last_(sheets.stride) {}

  // Places the boundaries of a ray that crosses the box and leaves the sorted distances in `sorted`.
  void place(const float* origin, const float* direction, float near, float far, float* sorted) {
    for (int n = 0; n < uniform; ++n) {
      distance[n] = near + (far - near) * (static_cast<float>(n) / (uniform - 1));
      order[n] = n;
    }
    visit(origin, direction, 0, uniform);
    if (importance > 0) {
      const int coarse = uniform - 1;
      cut(origin, direction, uniform);
      composite(coarse);
      for (int n = 0; n < coarse; ++n) per_tau[n] *= total[n];
      for (int n = 0; n < coarse; ++n) {
        mass_[n] = resampling_mass(per_tau.data(), n, coarse);
      }
      quantiles(distance.data(), uniform, mass_.data(), importance, distance.data() + uniform);
      visit(origin, direction, uniform, importance);
      merge();
    }
    for (int n = 0; n < boundaries; ++n) sorted[n] = distance[order[n]];
  }

  // Takes over boundaries that `place` found.
  void take(const float* origin, const float* direction, const float* sorted) {
    for (int n = 0; n < boundaries; ++n) {
      distance[n] = sorted[n];
      order[n] = n;
    }
    visit(origin, direction, 0, boundaries);
  }

  // Optical depths of the segments between the first `count` boundaries of `order`.
  void cut(const float* origin, const float* direction, int count) {
    const int segments = count - 1, stride = sheets.stride;
    for (int n = 0; n < segments; ++n) {
      const float t0 = distance[order[n]], t1 = distance[order[n + 1]];
      middle[n] = (t0 + t1) / 2;
      length[n] = t1 - t0;
    }
    locate_points<Common>(sheets, sheets.padded(), origin, direction, middle.data(), 0, segments, at_middle);
    for (int n = 0; n < segments; ++n) {
      Lanes totals = splat<Lanes>(0.0f);
      for (int block = 0; block < blocks; ++block) {
        const int from = order[n] * stride + block * kLanes, to = order[n + 1] * stride + block * kLanes;
        const int here = n * stride + block * kLanes;
        const Lanes q0 = load(q.data() + from), q1 = load(q.data() + to);
        const bool meets = bits(meets_sheet(q0, q1)) != 0;
        active[n * blocks + block] = meets;
        if (!meets) continue;
        const Lanes kappa = read<Common>(sheets, sheets.optical_depth, at_middle, n, block).value();
        Lanes per_width = splat<Lanes>(sheets.per_one_width);
        if constexpr (Mapped) {
          per_width = 1.0f / read<Common>(sheets, sheets.width, at_middle, n, block).value();
          store(middle_per_width.data() + here, per_width);
        }
        const Lanes m = mean_gaussian(q0, q1, load(integral.data() + from), load(integral.data() + to));
        const Lanes a = kappa * per_width * kPeakPerDepth;
        const Lanes t = a * length[n] * m;
        store(mean.data() + here, m);
        store(amplitude.data() + here, a);
        store(tau.data() + here, t);
        totals += t;
      }
      total[n] = sum(totals);
    }
  }

  // Transmittance before each segment, and the weight that a unit of optical depth in it gets; returns what passes all.
  float composite(int segments) {
    for (int n = 0; n < segments; n += kLanes) {
      const Lanes tau = load(total.data() + n), through = exp_negative(-tau);
      store(passed.data() + n, through);
      store(absorbed.data() + n, absorbed_per_tau(tau, through));
    }
    float transmittance = 1;
    for (int n = 0; n < segments; ++n) {
      before[n] = transmittance;
      per_tau[n] = transmittance * absorbed[n];
      transmittance *= passed[n];
      if (transmittance < 1.2e-38f) transmittance = 0;  // denormal numbers are slow
    }
    return transmittance;
  }

  // Collects the terms of the feature sum. `terms` may be null.
  void collect(const float* origin, const float* direction, int segments, int ray, std::vector<Touched>& touched,
               std::vector<Term>* terms) {
    locate_points<Common>(sheets, sheets.bare(), origin, direction, middle.data(), 0, segments, at_features);
    touched.clear();
    if (terms) terms->clear();
    std::fill(last_.begin(), last_.end(), -1);
    for (int n = 0; n < segments; ++n) {
      for (int block = 0; block < blocks; ++block) {
        if (!active[n * blocks + block]) continue;
        const Lanes weights = load(tau.data() + n * sheets.stride + block * kLanes) * per_tau[n];
        int kept = bits(weights >= splat<Lanes>(kFeatureEpsilon));
        for (int j = 0; kept; ++j, kept >>= 1) {
          if (kept & 1) add_term(n, block * kLanes + j, weights[j], ray, touched, terms);
        }
      }
    }
  }

  // Where in `at_features` a part's cell is.
  int feature_cell(int n, int part) const { return Common ? n : n * sheets.stride + part; }

  const Sheets& sheets;
  const int uniform, importance, boundaries, blocks;

  // At the boundaries, in the order of their placement; `order` sorts them by distance. Blocks of lanes.
  std::vector<float> distance;
  std::vector<int> order;
  Cells at_boundaries;
  std::vector<float> q, integral, gaussian, per_width;

  // In the segments, in the order of distance. Inactive blocks hold no density, and nothing that is valid.
  std::vector<float> middle, length;
  Cells at_middle, at_features;
  std::vector<char> active;
  std::vector<float> amplitude, middle_per_width, mean, tau;
  std::vector<float> total, passed, absorbed, before, per_tau;

 private:
  void visit(const float* origin, const float* direction, int first, int count) {
    locate_points<Common>(sheets, sheets.padded(), origin, direction, distance.data(), first, count, at_boundaries);
    for (int n = first; n < first + count; ++n) {
      const float z = origin[2] + direction[2] * distance[n];
      for (int block = 0; block < blocks; ++block) {
        const int here = n * sheets.stride + block * kLanes;
        const Lanes depth = read<Common>(sheets, sheets.depth, at_boundaries, n, block).value();
        Lanes per = splat<Lanes>(sheets.per_one_width);
        if constexpr (Mapped) {
          per = 1.0f / read<Common>(sheets, sheets.width, at_boundaries, n, block).value();
          store(per_width.data() + here, per);
        }
        const Lanes value = (z - depth) * per;
        Lanes g;
        store(integral.data() + here, gaussian_integral(value, g));
        store(q.data() + here, value);
        store(gaussian.data() + here, g);
      }
    }
  }

  // Merges the two ascending runs of distances.
  void merge() {
    int coarse = 0, fine = uniform;
    for (int n = 0; n < boundaries; ++n) {
      const bool take_fine = fine < boundaries && (coarse == uniform || distance[fine] < distance[coarse]);
      order[n] = take_fine ? fine++ : coarse++;
    }
  }

  void add_term(int n, int part, float weight, int ray, std::vector<Touched>& touched, std::vector<Term>* terms) {
    const int cell = feature_cell(n, part), texel = at_features.offset[cell];
    if (last_[part] < 0 || touched[last_[part]].texel != texel) {
      last_[part] = static_cast<int>(touched.size());
      touched.push_back({ray, texel, part, {0, 0, 0, 0}});
    }
    const float lower = at_features.y[cell] * weight, upper = weight - lower, x = at_features.x[cell];
    float* w = touched[last_[part]].weights;
    w[0] += upper - x * upper;
    w[1] += x * upper;
    w[2] += lower - x * lower;
    w[3] += x * lower;
    if (terms) terms->push_back({n, part, last_[part], weight});
  }

  std::vector<float> mass_;
  std::vector<int> last_;
};

}  // namespace ssgan
