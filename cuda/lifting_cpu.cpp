// ssgan::channels_last, ssgan::lift and ssgan::lift_backward on a CPU.
//
// Results do not depend on the number of threads nor on their luck: work is cut into tasks by the shapes alone, threads
// draw tasks from a counter, and a value that several rays add to is summed by one task in a fixed order.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <array>
#include <atomic>
#include <tuple>

#include "lifting_rays.h"

namespace ssgan {
namespace {

using at::Tensor;

constexpr int64_t kTileRays = 64;        // rays a forward task
constexpr int64_t kGroupRays = 65536;    // rays whose backward records are held at once
constexpr int64_t kGroupTasks = 16;      // backward tasks that a group is cut into at least, if it has the rays
constexpr int64_t kLeastChunk = 128;     // rays a backward task at least
constexpr float kFarAway = -1e6f;        // depth of the parts that only pad a block: no ray meets them

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

  int64_t boundaries() const { return uniform + importance; }
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
Tensor lay_out(const Tensor& maps, int64_t stride, float border, float padding) {
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
Tensor channels_last(const Tensor& features) {
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

Scene make_scene(const Tensor& features, const Tensor& depth, const Tensor& optical_depth, const Tensor& width,
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
  TORCH_CHECK(uniform >= 2 && importance >= 0 && uniform + importance < 65536, "impossible numbers of boundaries");

  scene.features = features.contiguous();
  scene.origins = origins.contiguous();
  scene.directions = directions.contiguous();
  scene.uniform = static_cast<int>(uniform);
  scene.importance = static_cast<int>(importance);
  scene.mapped_width = width.dim() != 0;
  scene.depth = lay_out(depth, scene.stride, 1.0f, kFarAway);
  scene.optical_depth = lay_out(optical_depth, scene.stride, 0.0f, 0.0f);
  float most_width;
  if (scene.mapped_width) {
    scene.width = lay_out(width, scene.stride, 1.0f, 0.0f);
    const float* values = scene.width.const_data_ptr<float>();
    most_width = *std::max_element(values, values + scene.width.numel());
    scene.width = lay_out(width, scene.stride, 1.0f, most_width);
  } else {
    most_width = scene.one_width = *width.const_data_ptr<float>();
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
void gather(const Sheets& sheets, const std::vector<Touched>& touched, float* result) {
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

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> lift(
    const Tensor& features, const Tensor& depth, const Tensor& optical_depth, const Tensor& width,
    const Tensor& windows, const Tensor& origins, const Tensor& directions, double low, double high, int64_t uniform,
    int64_t importance) {
  const Scene scene = make_scene(features, depth, optical_depth, width, windows, origins, directions, low, high,
                                 uniform, importance);
  const int64_t batch = scene.batch, parts = scene.parts, channels = scene.channels, pixels = scene.pixels;
  const int64_t boundaries = scene.boundaries();
  const auto options = depth.options().memory_format(at::MemoryFormat::Contiguous);
  Tensor picture = at::empty({batch, channels, pixels}, options);
  Tensor masks = at::empty({batch, parts, pixels}, options);
  Tensor transmittance = at::empty({batch, pixels}, options);
  Tensor distance = at::empty({batch, pixels}, options);
  Tensor placed = at::empty({batch, pixels, boundaries}, options);
  float* const picture_out = picture.mutable_data_ptr<float>();
  float* const masks_out = masks.mutable_data_ptr<float>();
  float* const transmittance_out = transmittance.mutable_data_ptr<float>();
  float* const distance_out = distance.mutable_data_ptr<float>();
  float* const placed_out = placed.mutable_data_ptr<float>();
  const int64_t tiles = (pixels + kTileRays - 1) / kTileRays;

  dispatch(scene, [&](auto common, auto mapped) {
    run_tasks(batch * tiles, [&] {
      return [&, features_tile = std::vector<float>(kTileRays * channels),
              masks_tile = std::vector<float>(kTileRays * scene.stride),
              touched = std::vector<Touched>()](int64_t task) mutable {
        const int64_t b = task / tiles, first = task % tiles * kTileRays;
        const int64_t count = std::min(kTileRays, pixels - first);
        const Sheets sheets = scene.sheets(b);
        Tracer<decltype(common)::value, decltype(mapped)::value> tracer(sheets, scene.uniform, scene.importance);
        std::fill(features_tile.begin(), features_tile.end(), 0.0f);
        std::fill(masks_tile.begin(), masks_tile.end(), 0.0f);
        const int segments = tracer.boundaries - 1;
        for (int64_t i = 0; i < count; ++i) {
          const int64_t p = first + i, at = b * pixels + p;
          const float *origin = scene.origin(b, p), *direction = scene.direction(b, p);
          float near, far;
          clip_to_box(scene.box, origin, direction, near, far);
          if (far == 0) {
            transmittance_out[at] = 1;
            distance_out[at] = 0;
            std::fill_n(placed_out + at * boundaries, boundaries, 0.0f);
            continue;
          }
          tracer.place(origin, direction, near, far, placed_out + at * boundaries);
          tracer.cut(origin, direction, tracer.boundaries);
          transmittance_out[at] = tracer.composite(segments);
          float sum = 0;
          for (int n = 0; n < segments; ++n) sum += tracer.total[n] * tracer.per_tau[n] * tracer.middle[n];
          distance_out[at] = sum;
          float* mask = masks_tile.data() + i * scene.stride;
          for (int n = 0; n < segments; ++n) {
            for (int block = 0; block < tracer.blocks; ++block) {
              if (!tracer.active[n * tracer.blocks + block]) continue;
              const Lanes tau = load(tracer.tau.data() + n * scene.stride + block * kLanes);
              add_to(mask + block * kLanes, tau * tracer.per_tau[n]);
            }
          }
          tracer.collect(origin, direction, segments, static_cast<int>(p), touched, nullptr);
          gather(sheets, touched, features_tile.data() + i * channels);
        }
        for (int64_t c = 0; c < channels; ++c) {
          float* out = picture_out + (b * channels + c) * pixels + first;
          for (int64_t i = 0; i < count; ++i) out[i] = features_tile[i * channels + c];
        }
        for (int64_t k = 0; k < parts; ++k) {
          float* out = masks_out + (b * parts + k) * pixels + first;
          for (int64_t i = 0; i < count; ++i) out[i] = masks_tile[i * scene.stride + k];
        }
      };
    });
  });
  return {picture, masks, transmittance, distance, placed};
}

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
  bool features_needed;
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
  // Derivative by each part's weight in each segment, through masks, distance and features.
  void weights(const float* origin, const float* direction, int segments, int64_t p) {
    const float* masks = gradients_.masks.const_data_ptr<float>() + b_ * scene_.parts * scene_.pixels + p;
    for (int k = 0; k < sheets_.parts; ++k) by_mask_[k] = masks[k * scene_.pixels];
    const float by_distance = gradients_.distance.const_data_ptr<float>()[b_ * scene_.pixels + p];
    for (int n = 0; n < segments; ++n) {
      const float add = by_distance * tracer_.middle[n];
      for (int k = 0; k < sheets_.stride; ++k) by_weight_[n * sheets_.stride + k] = by_mask_[k] + add;
    }

    tracer_.collect(origin, direction, segments, static_cast<int>(p), touched_, &terms_);
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
    if (!gradients_.features_needed) return;
    for (const Touched& texels : touched_) chunk_.touched[texels.part].push_back(texels);
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
void scatter_features(const Chunk* chunks, int64_t count, int part, const float* seen, int64_t size, int64_t channels,
                      float* result) {
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
void collect_row(const Scene& scene, const Chunk* chunks, int64_t count, std::vector<float> Chunk::* map,
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

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> lift_backward(
    const Tensor& by_features, const Tensor& by_masks, const Tensor& by_transmittance, const Tensor& by_distance,
    const Tensor& features, const Tensor& depth, const Tensor& optical_depth, const Tensor& width,
    const Tensor& windows, const Tensor& origins, const Tensor& directions, const Tensor& boundaries, double low,
    double high, int64_t uniform, int64_t importance, bool features_needed, bool rays_needed) {
  const Scene scene = make_scene(features, depth, optical_depth, width, windows, origins, directions, low, high,
                                 uniform, importance);
  const int64_t batch = scene.batch, parts = scene.parts, channels = scene.channels, pixels = scene.pixels;
  const int64_t size = scene.size;
  const auto options = depth.options().memory_format(at::MemoryFormat::Contiguous);
  Tensor for_features = at::empty({features_needed ? batch : 0, parts, size, size, channels}, options);
  Tensor for_depth = at::empty(depth.sizes(), options);
  Tensor for_optical_depth = at::empty(depth.sizes(), options);
  Tensor for_width = at::empty(width.sizes(), options);
  Tensor for_origins = at::empty({rays_needed ? batch : 0, pixels, 3}, options).zero_();
  Tensor for_directions = at::empty({rays_needed ? batch : 0, pixels, 3}, options).zero_();
  const Gradients gradients{by_features.transpose(1, 2).contiguous(),
                            by_masks.contiguous(),
                            by_transmittance.contiguous(),
                            by_distance.contiguous(),
                            boundaries.contiguous(),
                            rays_needed ? for_origins.mutable_data_ptr<float>() : nullptr,
                            rays_needed ? for_directions.mutable_data_ptr<float>() : nullptr,
                            features_needed};
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
          chunk.depth.assign(scene.map_length(), 0.0f);
          chunk.optical_depth.assign(scene.map_length(), 0.0f);
          chunk.width.assign(scene.mapped_width ? scene.map_length() : 0, 0.0f);
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

    const int64_t feature_tasks = features_needed ? entries * parts : 0;
    run_tasks(feature_tasks + entries * size, [&] {
      return [&](int64_t task) {
        const bool is_features = task < feature_tasks;
        const int64_t each = is_features ? parts : size;
        const int64_t entry = (is_features ? task : task - feature_tasks) / each;
        const int64_t within = (is_features ? task : task - feature_tasks) % each;
        const int64_t b = first + entry;
        const Chunk* own = chunks.data() + entry * per_entry;
        if (is_features) {
          float* result = for_features.mutable_data_ptr<float>() + (b * parts + within) * size * size * channels;
          scatter_features(own, per_entry, static_cast<int>(within), seen + b * pixels * channels, size, channels,
                           result);
          return;
        }
        const auto collect = [&](std::vector<float> Chunk::* map, bool border, const Tensor& result) {
          collect_row(scene, own, per_entry, map, border, within,
                      result.mutable_data_ptr<float>() + b * parts * size * size);
        };
        collect(&Chunk::depth, true, for_depth);
        collect(&Chunk::optical_depth, false, for_optical_depth);
        if (scene.mapped_width) collect(&Chunk::width, true, for_width);
      };
    });
  }
  if (!scene.mapped_width) for_width.fill_(one_width);
  return {for_features, for_depth, for_optical_depth, for_width, for_origins, for_directions};
}

}  // namespace
}  // namespace ssgan

TORCH_LIBRARY(ssgan, m) {
  m.def("channels_last(Tensor features) -> Tensor");
  m.def(
      "lift(Tensor features, Tensor depth, Tensor optical_depth, Tensor width, Tensor windows, Tensor origins, "
      "Tensor directions, float low, float high, int uniform, int importance) -> (Tensor, Tensor, Tensor, Tensor, "
      "Tensor)");
  m.def(
      "lift_backward(Tensor by_features, Tensor by_masks, Tensor by_transmittance, Tensor by_distance, Tensor "
      "features, Tensor depth, Tensor optical_depth, Tensor width, Tensor windows, Tensor origins, Tensor directions, "
      "Tensor boundaries, float low, float high, int uniform, int importance, bool features_needed, bool rays_needed) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(ssgan, CPU, m) {
  m.impl("channels_last", &ssgan::channels_last);
  m.impl("lift", &ssgan::lift);
  m.impl("lift_backward", &ssgan::lift_backward);
}
