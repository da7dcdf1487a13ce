// The renderer's operators for a CPU, as PyTorch sees them.

#include <torch/library.h>

#include "lifting_backward.h"
#include "lifting_forward.h"
#include "lifting_scene.h"

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
