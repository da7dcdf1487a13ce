// The renderer's operators, and what runs them on a CPU, as PyTorch sees them.

#include <torch/library.h>

#include "lifting_backward.h"
#include "lifting_forward.h"
#include "lifting_scene.h"
#include "lifting_schemas.h"

TORCH_LIBRARY(ssgan, m) {
  m.def("channels_last(Tensor features) -> Tensor");
  m.def(ssgan::kLiftSchema);
  m.def(ssgan::kLiftBackwardSchema);
}

TORCH_LIBRARY_IMPL(ssgan, CPU, m) {
  m.impl("channels_last", &ssgan::channels_last);
  m.impl("lift", &ssgan::lift);
  m.impl("lift_backward", &ssgan::lift_backward);
}
