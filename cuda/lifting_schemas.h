// What the renderer's operators take and return, whatever they run on.

#pragma once

namespace ssgan {

constexpr char kLiftSchema[] =
    "lift(Tensor features, Tensor depth, Tensor optical_depth, Tensor width, Tensor windows, Tensor origins, "
    "Tensor directions, float low, float high, int uniform, int importance) -> (Tensor, Tensor, Tensor, Tensor, "
    "Tensor)";
constexpr char kLiftBackwardSchema[] =
    "lift_backward(Tensor by_features, Tensor by_masks, Tensor by_transmittance, Tensor by_distance, Tensor "
    "features, Tensor depth, Tensor optical_depth, Tensor width, Tensor windows, Tensor origins, Tensor directions, "
    "Tensor boundaries, float low, float high, int uniform, int importance, bool features_needed, bool sheets_needed, "
    "bool rays_needed) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)";

}  // namespace ssgan
