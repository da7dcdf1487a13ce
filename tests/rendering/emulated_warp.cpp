// The CUDA kernels' code with a warp that a CPU runs lane by lane: ssgan_emulated::lift and lift_backward, like the
// operators of a GPU but for tensors of the CPU. `set_order` says in which order lanes run: what lanes exchange through
// memory without waiting for each other comes out differently in another order.

#include <torch/library.h>

#include <cstring>
#include <vector>

#include "lifting_layout.h"
#include "lifting_operators.h"
#include "lifting_schemas.h"
#include "lifting_warp.h"

namespace {

using namespace ssgan;

bool backwards = false;

float from_half(uint16_t bits) {
  _Float16 value;
  std::memcpy(&value, &bits, sizeof value);
  return static_cast<float>(value);
}

float from_bfloat16(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

struct EmulatedWarp {
  template <class T>
  struct Lanes {
    T values[kWarp];
    T& operator[](int lane) { return values[lane]; }
    const T& operator[](int lane) const { return values[lane]; }
  };

  template <class F>
  void each(F f) {
    for (int i = 0; i < kWarp; ++i) f(backwards ? kWarp - 1 - i : i);
  }
  template <class F>
  void apart(F f) {
    each(f);
  }

  template <class T>
  Lanes<T> next(const Lanes<T>& lanes) const {
    Lanes<T> result = lanes;
    for (int lane = 0; lane < kWarp - 1; ++lane) result[lane] = lanes[lane + 1];
    return result;
  }
  template <class T>
  Lanes<T> previous(const Lanes<T>& lanes, const T& first) const {
    Lanes<T> result;
    result[0] = first;
    for (int lane = 1; lane < kWarp; ++lane) result[lane] = lanes[lane - 1];
    return result;
  }
  template <class T>
  T broadcast(const Lanes<T>& lanes, int from) const {
    return lanes[from];
  }
  unsigned ballot(const Lanes<bool>& lanes) const {
    unsigned bits = 0;
    for (int lane = 0; lane < kWarp; ++lane) bits |= static_cast<unsigned>(lanes[lane]) << lane;
    return bits;
  }
  static int lowest(unsigned bits) { return __builtin_ctz(bits); }

  void scan(Lanes<float>& lanes) const {
    for (int step = 1; step < kWarp; step *= 2) {
      for (int lane = kWarp - 1; lane >= step; --lane) lanes[lane] += lanes[lane - step];
    }
  }
  void fold(Lanes<float>& lanes, int bit) const {
    const Lanes<float> before = lanes;
    for (int lane = 0; lane < kWarp; ++lane) lanes[lane] += before[lane ^ bit];
  }
  void fold(Lanes<Four>& lanes, int bit) const {
    const Lanes<Four> before = lanes;
    for (int lane = 0; lane < kWarp; ++lane) {
      for (int j = 0; j < 4; ++j) lanes[lane].v[j] += before[lane ^ bit].v[j];
    }
  }
  float sum(Lanes<float> lanes) const {
    for (int bit = kWarp / 2; bit; bit /= 2) fold(lanes, bit);
    return lanes[0];
  }

  // A GPU reads four values at once, and faults where they do not begin at a multiple of their size.
  template <class T>
  static void check_alignment(const T* place) {
    TORCH_CHECK(reinterpret_cast<std::uintptr_t>(place) % (4 * sizeof(T)) == 0, "four values at an odd address");
  }
  static Four load_four(const float* from, Number = Number::kFloat) {
    check_alignment(from);
    return {{from[0], from[1], from[2], from[3]}};
  }
  static Four load_four(const uint16_t* from, Number number) {
    check_alignment(from);
    Four result;
    for (int j = 0; j < 4; ++j) {
      result.v[j] = number == Number::kHalf ? from_half(from[j]) : from_bfloat16(from[j]);
    }
    return result;
  }
  static void store_four(float* to, const Four& value) {
    check_alignment(to);
    std::memcpy(to, value.v, sizeof value.v);
  }
  static void add(float* to, float value) { *to += value; }
  static void add_four(float* to, const Four& value) {
    check_alignment(to);
    for (int j = 0; j < 4; ++j) to[j] += value.v[j];
  }
};

class Emulation {
 public:
  static constexpr at::DeviceType type = at::kCPU;

  explicit Emulation(const Tensor&) {}

  void lay_out(const LayoutJob& job) const {
    set_up(job);
    const int64_t side = job.size + 2;
    for (int64_t i = 0; i < job.batch * side * side; ++i) lay_out_texel(job, i);
  }
  void fold(const FoldJob& job) const {
    for (int64_t i = 0; i < static_cast<int64_t>(job.batch) * job.size * job.size; ++i) fold_texel(job, i);
  }
  void forward(const RenderJob& job) const {
    const bool one = job.channels <= kStepChannels, full = job.number == Number::kFloat;
    for_rays(job, false, [&](EmulatedWarp& warp, const Scratch& scratch, int entry, int pixel) {
      if (one) {
        full ? ray_forward<1, float>(warp, job, scratch, entry, pixel)
             : ray_forward<1, uint16_t>(warp, job, scratch, entry, pixel);
      } else {
        full ? ray_forward<2, float>(warp, job, scratch, entry, pixel)
             : ray_forward<2, uint16_t>(warp, job, scratch, entry, pixel);
      }
    });
  }
  void backward(const RenderJob& job) const {
    const bool one = job.channels <= kStepChannels, full = job.number == Number::kFloat;
    for_rays(job, true, [&](EmulatedWarp& warp, const Scratch& scratch, int entry, int pixel) {
      if (one) {
        full ? RayBackward<1, float, EmulatedWarp>(warp, job, scratch, entry, pixel).run()
             : RayBackward<1, uint16_t, EmulatedWarp>(warp, job, scratch, entry, pixel).run();
      } else {
        full ? RayBackward<2, float, EmulatedWarp>(warp, job, scratch, entry, pixel).run()
             : RayBackward<2, uint16_t, EmulatedWarp>(warp, job, scratch, entry, pixel).run();
      }
    });
  }

 private:
  // Every ray finds rubbish in its scratch memory, and none may write beyond it.
  template <class Work>
  static void for_rays(const RenderJob& job, bool backward, Work work) {
    const float rubbish = std::numeric_limits<float>::quiet_NaN(), guard = 12345.0f;
    const int floats = Scratch::floats(job, backward);
    std::vector<float> memory(floats + 64);
    for (int ray = 0; ray < job.batch * job.pixels; ++ray) {
      std::fill(memory.begin(), memory.end(), rubbish);
      std::fill(memory.begin() + floats, memory.end(), guard);
      EmulatedWarp warp;
      work(warp, Scratch(memory.data(), job, backward), ray / job.pixels, ray % job.pixels);
      for (int i = floats; i < floats + 64; ++i) TORCH_CHECK(memory[i] == guard, "scratch memory overrun");
    }
  }
};

}  // namespace

TORCH_LIBRARY(ssgan_emulated, m) {
  m.def(kLiftSchema);
  m.def(kLiftBackwardSchema);
  m.def("set_order(bool backwards) -> ()", [](bool order) { backwards = order; });
}

TORCH_LIBRARY_IMPL(ssgan_emulated, CPU, m) {
  m.impl("lift", &lift<Emulation>);
  m.impl("lift_backward", &lift_backward<Emulation>);
}
