// ssgan::lift and ssgan::lift_backward around the kernels of lifting_warp.h: arguments checked and laid out, memory for
// results. Device says where tensors are and runs the jobs: lifting_cuda.cpp has a GPU, the tests an emulation.

#pragma once

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <cstdint>
#include <limits>
#include <tuple>

#include "lifting_job.h"

namespace ssgan {

using at::Tensor;

// Maps as the kernels read them, alive for one call.
struct LaidOut {
  Tensor features, origins, directions, depth, optical_depth, width, setup;
  RenderJob job;
};

// Contiguous, and where four values can be read at once: a view may begin anywhere in its storage.
inline Tensor in_fours(const Tensor& tensor) {
  const Tensor result = tensor.contiguous();
  return reinterpret_cast<std::uintptr_t>(result.const_data_ptr()) % 16 == 0 ? result : result.clone();
}

template <class Device>
LaidOut lay_out(const Device& device, const Tensor& features, const Tensor& depth, const Tensor& optical_depth,
                const Tensor& width, const Tensor& windows, const Tensor& origins, const Tensor& directions, double low,
                double high, int64_t uniform, int64_t importance) {
  for (const Tensor* tensor : {&depth, &optical_depth, &width, &windows, &origins, &directions}) {
    TORCH_CHECK(tensor->scalar_type() == at::kFloat, "lift takes float32 tensors, and features of half precision");
    TORCH_CHECK(tensor->device() == features.device(), "lift takes tensors of one device");
  }
  TORCH_CHECK(features.device().type() == Device::type, "lift takes tensors of the device it was compiled for");
  const auto number = features.scalar_type();
  TORCH_CHECK(number == at::kFloat || number == at::kBFloat16 || number == at::kHalf,
              "features must be float32, bfloat16 or float16");
  TORCH_CHECK(features.dim() == 5 && features.size(2) == features.size(3) && features.size(2) >= 2,
              "features must be [B, K, S, S, C] with S >= 2");
  TORCH_CHECK(origins.dim() == 3 && origins.size(2) == 3, "origins must be [B, P, 3]");
  const int64_t batch = features.size(0), parts = features.size(1), size = features.size(2);
  const int64_t channels = features.size(4), pixels = origins.size(1), stride = (parts + 3) / 4 * 4;
  TORCH_CHECK(parts <= kMostParts, "features must have at most ", kMostParts, " parts");
  TORCH_CHECK(channels % 4 == 0, "features must have a multiple of 4 channels");
  const std::array<int64_t, 4> shape{batch, parts, size, size};
  TORCH_CHECK(depth.sizes() == at::IntArrayRef(shape), "depth must be [B, K, S, S]");
  TORCH_CHECK(optical_depth.sizes() == at::IntArrayRef(shape), "optical_depth must be [B, K, S, S]");
  TORCH_CHECK(width.dim() == 0 || width.sizes() == at::IntArrayRef(shape), "width must be [] or [B, K, S, S]");
  TORCH_CHECK(windows.dim() == 2 && windows.size(0) == parts && windows.size(1) == 4, "windows must be [K, 4]");
  TORCH_CHECK(origins.size(0) == batch && directions.sizes() == origins.sizes(), "rays must be [B, P, 3]");
  TORCH_CHECK(batch > 0 && parts > 0 && channels > 0 && pixels > 0, "nothing to render");
  TORCH_CHECK(uniform >= 2 && importance >= 0 && uniform + importance <= kMostBoundaries,
              "impossible numbers of boundaries: at most ", kMostBoundaries);
  const int64_t most = std::numeric_limits<int32_t>::max();
  TORCH_CHECK((size + 2) * (size + 2) * stride < most && batch * pixels < most, "maps or pictures too large");

  LaidOut result;
  result.features = in_fours(features);
  result.origins = origins.contiguous();
  result.directions = directions.contiguous();
  const bool mapped = width.dim() != 0;
  const Tensor given_depth = depth.contiguous(), given_optical_depth = optical_depth.contiguous();
  const Tensor given_width = width.contiguous(), given_windows = windows.contiguous();
  const Tensor most_width = given_width.amax();
  const auto options = depth.options().memory_format(at::MemoryFormat::Contiguous);
  const std::array<int64_t, 4> laid_out{batch, size + 2, size + 2, stride};
  result.depth = at::empty(laid_out, options);
  result.optical_depth = at::empty(laid_out, options);
  if (mapped) result.width = at::empty(laid_out, options);
  result.setup = at::empty({static_cast<int64_t>(sizeof(Setup))}, options.dtype(at::kByte));
  auto* setup = static_cast<Setup*>(result.setup.data_ptr());
  device.lay_out({given_depth.const_data_ptr<float>(), given_optical_depth.const_data_ptr<float>(),
                  mapped ? given_width.const_data_ptr<float>() : nullptr, result.depth.mutable_data_ptr<float>(),
                  result.optical_depth.mutable_data_ptr<float>(),
                  mapped ? result.width.mutable_data_ptr<float>() : nullptr, given_windows.const_data_ptr<float>(),
                  most_width.const_data_ptr<float>(), setup, static_cast<float>(low), static_cast<float>(high),
                  static_cast<int>(batch), static_cast<int>(parts), static_cast<int>(stride), static_cast<int>(size)});

  result.job = {};
  RenderJob& job = result.job;
  job.features = result.features.const_data_ptr();
  job.number = number == at::kFloat ? Number::kFloat : number == at::kHalf ? Number::kHalf : Number::kBfloat16;
  job.depth = result.depth.const_data_ptr<float>();
  job.optical_depth = result.optical_depth.const_data_ptr<float>();
  job.width = mapped ? result.width.const_data_ptr<float>() : nullptr;
  job.setup = setup;
  job.origins = result.origins.const_data_ptr<float>();
  job.directions = result.directions.const_data_ptr<float>();
  job.batch = static_cast<int>(batch);
  job.parts = static_cast<int>(parts);
  job.stride = static_cast<int>(stride);
  job.size = static_cast<int>(size);
  job.channels = static_cast<int>(channels);
  job.pixels = static_cast<int>(pixels);
  job.uniform = static_cast<int>(uniform);
  job.importance = static_cast<int>(importance);
  return result;
}

// Pictures are returned as [B, C, P] in memory of [B, P, C]: what a ray computed lies side by side, and a network that
// works on channels-last pictures takes it as it is.
template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> lift(const Tensor& features, const Tensor& depth,
                                                        const Tensor& optical_depth, const Tensor& width,
                                                        const Tensor& windows, const Tensor& origins,
                                                        const Tensor& directions, double low, double high,
                                                        int64_t uniform, int64_t importance) {
  const Device device(features);
  LaidOut scene = lay_out(device, features, depth, optical_depth, width, windows, origins, directions, low, high,
                          uniform, importance);
  RenderJob& job = scene.job;
  const auto options = depth.options().memory_format(at::MemoryFormat::Contiguous);
  Tensor picture = at::empty({job.batch, job.pixels, job.channels}, options);
  Tensor masks = at::empty({job.batch, job.pixels, job.parts}, options);
  Tensor transmittance = at::empty({job.batch, job.pixels}, options);
  Tensor distance = at::empty({job.batch, job.pixels}, options);
  Tensor boundaries = at::empty({job.batch, job.pixels, job.boundary_count()}, options);
  job.picture = picture.mutable_data_ptr<float>();
  job.masks = masks.mutable_data_ptr<float>();
  job.transmittance = transmittance.mutable_data_ptr<float>();
  job.distance = distance.mutable_data_ptr<float>();
  job.boundaries = boundaries.mutable_data_ptr<float>();
  device.forward(job);
  return {picture.transpose(1, 2), masks.transpose(1, 2), transmittance, distance, boundaries};
}

template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> lift_backward(
    const Tensor& by_features, const Tensor& by_masks, const Tensor& by_transmittance, const Tensor& by_distance,
    const Tensor& features, const Tensor& depth, const Tensor& optical_depth, const Tensor& width,
    const Tensor& windows, const Tensor& origins, const Tensor& directions, const Tensor& boundaries, double low,
    double high, int64_t uniform, int64_t importance, bool features_needed, bool sheets_needed, bool rays_needed) {
  // Sums of many rays in one texel are made by atomic additions, in any order.
  at::globalContext().alertNotDeterministic("ssgan::lift_backward on this device");
  const Device device(features);
  LaidOut scene = lay_out(device, features, depth, optical_depth, width, windows, origins, directions, low, high,
                          uniform, importance);
  RenderJob& job = scene.job;
  const auto options = depth.options().memory_format(at::MemoryFormat::Contiguous);
  const int64_t batch = job.batch, pixels = job.pixels, size = job.size;
  const Tensor picture = in_fours(by_features.transpose(1, 2)), masks = by_masks.transpose(1, 2).contiguous();
  const Tensor transmittance = by_transmittance.contiguous(), distance = by_distance.contiguous();
  Tensor placed = boundaries.contiguous();
  Tensor for_features = at::zeros({features_needed ? batch : 0, job.parts, size, size, job.channels}, options);
  Tensor sums = at::zeros({job.width ? 3 : 2, batch, size + 2, size + 2, job.stride}, options);
  Tensor for_depth = at::empty(depth.sizes(), options), for_optical_depth = at::empty(depth.sizes(), options);
  Tensor for_width = job.width ? at::empty(width.sizes(), options) : at::empty({batch, pixels}, options);
  Tensor for_origins = at::empty({rays_needed ? batch : 0, pixels, 3}, options);
  Tensor for_directions = at::empty({rays_needed ? batch : 0, pixels, 3}, options);

  job.by_picture = picture.const_data_ptr<float>();
  job.by_masks = masks.const_data_ptr<float>();
  job.by_transmittance = transmittance.const_data_ptr<float>();
  job.by_distance = distance.const_data_ptr<float>();
  job.boundaries = placed.data_ptr<float>();
  job.for_features = features_needed ? for_features.mutable_data_ptr<float>() : nullptr;
  const int64_t maps = sums.stride(0);
  job.for_depth = sums.mutable_data_ptr<float>();
  job.for_optical_depth = job.for_depth + maps;
  job.for_width = job.width ? job.for_optical_depth + maps : nullptr;
  job.for_one_width = job.width ? nullptr : for_width.mutable_data_ptr<float>();
  job.for_origins = rays_needed ? for_origins.mutable_data_ptr<float>() : nullptr;
  job.for_directions = rays_needed ? for_directions.mutable_data_ptr<float>() : nullptr;
  device.backward(job);
  device.fold({job.for_depth, job.for_optical_depth, job.for_width, for_depth.mutable_data_ptr<float>(),
               for_optical_depth.mutable_data_ptr<float>(),
               job.width ? for_width.mutable_data_ptr<float>() : nullptr, job.batch, job.parts, job.stride, job.size});
  if (!job.width) for_width = for_width.sum(at::kDouble).to(at::kFloat);
  if (!sheets_needed && !rays_needed) {  // computed beside the rest, but nobody asked
    for (Tensor* result : {&for_depth, &for_optical_depth, &for_width}) *result = at::empty({0}, options);
  }
  return {for_features.to(features.scalar_type()), for_depth, for_optical_depth, for_width, for_origins,
          for_directions};
}

}  // namespace ssgan
