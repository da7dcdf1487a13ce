// The renderer's operators for a GPU, as PyTorch sees them. Their schemas are in lifting_cpu.cpp.

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "lifting_cuda.h"
#include "lifting_operators.h"

namespace ssgan {
namespace {

// The GPU of a tensor, and PyTorch's stream on it.
class Gpu {
 public:
  static constexpr at::DeviceType type = at::kCUDA;

  explicit Gpu(const Tensor& tensor) : guard_(tensor.device()), stream_(c10::cuda::getCurrentCUDAStream().stream()) {}

  void lay_out(const LayoutJob& job) const { C10_CUDA_CHECK(launch_layout(job, stream_)); }
  void fold(const FoldJob& job) const { C10_CUDA_CHECK(launch_fold(job, stream_)); }
  void forward(const RenderJob& job) const { C10_CUDA_CHECK(launch_forward(job, stream_)); }
  void backward(const RenderJob& job) const { C10_CUDA_CHECK(launch_backward(job, stream_)); }

 private:
  c10::cuda::CUDAGuard guard_;
  cudaStream_t stream_;
};

}  // namespace
}  // namespace ssgan

TORCH_LIBRARY_IMPL(ssgan, CUDA, m) {
  m.impl("lift", &ssgan::lift<ssgan::Gpu>);
  m.impl("lift_backward", &ssgan::lift_backward<ssgan::Gpu>);
}
