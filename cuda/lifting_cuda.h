// What lifting_cuda.cu does for lifting_cuda.cpp: kernels on a stream, each with what its launch returned.

#pragma once

#include <cuda_runtime_api.h>

#include "lifting_job.h"

namespace ssgan {

cudaError_t launch_layout(const LayoutJob& job, cudaStream_t stream);
cudaError_t launch_fold(const FoldJob& job, cudaStream_t stream);
cudaError_t launch_forward(const RenderJob& job, cudaStream_t stream);
cudaError_t launch_backward(const RenderJob& job, cudaStream_t stream);

}  // namespace ssgan
