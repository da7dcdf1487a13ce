// The CUDA kernels: the warp of a GPU for lifting_warp.h, and launches. Knows no framework.

#include <cuda_fp16.h>

#include "lifting_cuda.h"
#include "lifting_layout.h"
#include "lifting_warp.h"

namespace ssgan {
namespace {

constexpr unsigned kAll = 0xffffffffu;
// Warps a block, and the blocks that a multiprocessor shall hold: the least that leave the compiler the registers it
// wants, so that nothing is spilled to memory.
constexpr int kMostWarps = 4;
constexpr int kForwardBlocks = 4;
constexpr int kBackwardBlocks = 3;

struct DeviceWarp {
  template <class T>
  struct Lanes {
    T value;
    __device__ __forceinline__ T& operator[](int) { return value; }
    __device__ __forceinline__ const T& operator[](int) const { return value; }
  };

  int lane;

  template <class F>
  __device__ __forceinline__ void each(F f) {
    f(lane);
    __syncwarp();
  }
  template <class F>
  __device__ __forceinline__ void apart(F f) {
    f(lane);
  }

  // The next lane's values; the last lane keeps its own.
  __device__ __forceinline__ Lanes<Four> next(const Lanes<Four>& lanes) const {
    Lanes<Four> result;
#pragma unroll
    for (int j = 0; j < 4; ++j) result.value.v[j] = __shfl_down_sync(kAll, lanes.value.v[j], 1);
    return result;
  }
  // The previous lane's values; lane 0 gets `first`.
  __device__ __forceinline__ Lanes<Four> previous(const Lanes<Four>& lanes, const Four& first) const {
    Lanes<Four> result;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float value = __shfl_up_sync(kAll, lanes.value.v[j], 1);
      result.value.v[j] = lane ? value : first.v[j];
    }
    return result;
  }
  __device__ __forceinline__ Lanes<float> previous(const Lanes<float>& lanes, float first) const {
    const float value = __shfl_up_sync(kAll, lanes.value, 1);
    return {lane ? value : first};
  }
  template <class T>
  __device__ __forceinline__ T broadcast(const Lanes<T>& lanes, int from) const {
    return __shfl_sync(kAll, lanes.value, from);
  }
  __device__ __forceinline__ unsigned ballot(const Lanes<bool>& lanes) const {
    return __ballot_sync(kAll, lanes.value);
  }
  static __device__ __forceinline__ int lowest(unsigned bits) { return __ffs(bits) - 1; }

  // Running sums over the lanes.
  __device__ __forceinline__ void scan(Lanes<float>& lanes) const {
#pragma unroll
    for (int step = 1; step < kWarp; step *= 2) {
      const float earlier = __shfl_up_sync(kAll, lanes.value, step);
      if (lane >= step) lanes.value += earlier;
    }
  }
  // Adds the values of the lane whose number differs in one bit.
  __device__ __forceinline__ void fold(Lanes<float>& lanes, int bit) const {
    lanes.value += __shfl_xor_sync(kAll, lanes.value, bit);
  }
  __device__ __forceinline__ void fold(Lanes<Four>& lanes, int bit) const {
#pragma unroll
    for (int j = 0; j < 4; ++j) lanes.value.v[j] += __shfl_xor_sync(kAll, lanes.value.v[j], bit);
  }
  __device__ __forceinline__ float sum(Lanes<float> lanes) const {
#pragma unroll
    for (int bit = kWarp / 2; bit; bit /= 2) fold(lanes, bit);
    return lanes.value;
  }

  static __device__ __forceinline__ Four load_four(const float* from, Number = Number::kFloat) {
    const float4 value = __ldg(reinterpret_cast<const float4*>(from));
    return {{value.x, value.y, value.z, value.w}};
  }
  static __device__ __forceinline__ Four load_four(const uint16_t* from, Number number) {
    const ushort4 bits = __ldg(reinterpret_cast<const ushort4*>(from));
    return {{widen(bits.x, number), widen(bits.y, number), widen(bits.z, number), widen(bits.w, number)}};
  }
  static __device__ __forceinline__ float widen(unsigned short bits, Number number) {
    return number == Number::kBfloat16 ? __uint_as_float(static_cast<unsigned>(bits) << 16)
                                       : __half2float(__ushort_as_half(bits));
  }
  static __device__ __forceinline__ void store_four(float* to, const Four& value) {
    *reinterpret_cast<float4*>(to) = make_float4(value.v[0], value.v[1], value.v[2], value.v[3]);
  }
  static __device__ __forceinline__ void add(float* to, float value) { atomicAdd(to, value); }
  static __device__ __forceinline__ void add_four(float* to, const Four& value) {
#if __CUDA_ARCH__ >= 900
    atomicAdd(reinterpret_cast<float4*>(to), make_float4(value.v[0], value.v[1], value.v[2], value.v[3]));
#else
#pragma unroll
    for (int j = 0; j < 4; ++j) atomicAdd(to + j, value.v[j]);
#endif
  }
};

extern __shared__ float shared_memory[];

// Runs work(warp, scratch, entry, pixel) for this warp's ray.
template <class Work>
__device__ __forceinline__ void for_ray(const RenderJob& job, bool backward, Work work) {
  const int warp_number = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  const int64_t ray = static_cast<int64_t>(blockIdx.x) * warps + warp_number;
  if (ray >= static_cast<int64_t>(job.batch) * job.pixels) return;
  DeviceWarp warp{static_cast<int>(threadIdx.x % kWarp)};
  const Scratch scratch(shared_memory + warp_number * Scratch::floats(job, backward), job, backward);
  work(warp, scratch, static_cast<int>(ray / job.pixels), static_cast<int>(ray % job.pixels));
}

template <int Steps, class Texel>
__global__ void __launch_bounds__(kMostWarps * kWarp, kForwardBlocks)
    forward_kernel(const __grid_constant__ RenderJob job) {
  for_ray(job, false, [&](DeviceWarp& warp, const Scratch& scratch, int entry, int pixel) {
    ray_forward<Steps, Texel>(warp, job, scratch, entry, pixel);
  });
}

template <int Steps, class Texel>
__global__ void __launch_bounds__(kMostWarps * kWarp, kBackwardBlocks)
    backward_kernel(const __grid_constant__ RenderJob job) {
  for_ray(job, true, [&](DeviceWarp& warp, const Scratch& scratch, int entry, int pixel) {
    RayBackward<Steps, Texel, DeviceWarp>(warp, job, scratch, entry, pixel).run();
  });
}

__global__ void layout_kernel(const __grid_constant__ LayoutJob job, int64_t texels) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index == 0) set_up(job);
  if (index < texels) lay_out_texel(job, index);
}

__global__ void fold_kernel(const __grid_constant__ FoldJob job, int64_t texels) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index < texels) fold_texel(job, index);
}

constexpr int kTexelThreads = 128;

unsigned blocks_for(int64_t items, int64_t a_block) { return static_cast<unsigned>((items + a_block - 1) / a_block); }

// Launches a ray kernel with as many warps a block as the scratch memory of a block allows.
template <class Kernel>
cudaError_t launch_rays(Kernel kernel, const RenderJob& job, bool backward, cudaStream_t stream) {
  int device = 0, most = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  }
  if (error != cudaSuccess) return error;
  const int a_warp = Scratch::floats(job, backward) * static_cast<int>(sizeof(float));
  int warps = most / a_warp;
  if (warps < 1) return cudaErrorInvalidConfiguration;
  if (warps > kMostWarps) warps = kMostWarps;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, warps * a_warp);
  if (error != cudaSuccess) return error;
  const int64_t rays = static_cast<int64_t>(job.batch) * job.pixels;
  kernel<<<blocks_for(rays, warps), warps * kWarp, warps * a_warp, stream>>>(job);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_layout(const LayoutJob& job, cudaStream_t stream) {
  const int64_t texels = static_cast<int64_t>(job.batch) * (job.size + 2) * (job.size + 2);
  layout_kernel<<<blocks_for(texels, kTexelThreads), kTexelThreads, 0, stream>>>(job, texels);
  return cudaGetLastError();
}

cudaError_t launch_fold(const FoldJob& job, cudaStream_t stream) {
  const int64_t texels = static_cast<int64_t>(job.batch) * job.size * job.size;
  fold_kernel<<<blocks_for(texels, kTexelThreads), kTexelThreads, 0, stream>>>(job, texels);
  return cudaGetLastError();
}

cudaError_t launch_forward(const RenderJob& job, cudaStream_t stream) {
  const bool one = job.channels <= kStepChannels, full = job.number == Number::kFloat;
  auto* kernel = one ? (full ? forward_kernel<1, float> : forward_kernel<1, uint16_t>)
                     : (full ? forward_kernel<2, float> : forward_kernel<2, uint16_t>);
  return launch_rays(kernel, job, false, stream);
}

cudaError_t launch_backward(const RenderJob& job, cudaStream_t stream) {
  const bool one = job.channels <= kStepChannels, full = job.number == Number::kFloat;
  auto* kernel = one ? (full ? backward_kernel<1, float> : backward_kernel<1, uint16_t>)
                     : (full ? backward_kernel<2, float> : backward_kernel<2, uint16_t>);
  return launch_rays(kernel, job, true, stream);
}

}  // namespace ssgan
