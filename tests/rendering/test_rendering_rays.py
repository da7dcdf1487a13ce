import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.rendering import camera_rays


def labels(*angles: tuple[float, float]) -> torch.Tensor:
    return torch.as_tensor(np.stack([cameras.label(*pair) for pair in angles]), dtype=torch.float64)


def test_middle_pixel_looks_along_the_optical_axis():
    rays = camera_rays(labels((0, 0), (0.4, -0.2)), 5)
    torch.testing.assert_close(rays.directions[:, 12], rays.forward, atol=1e-6, rtol=0)
    torch.testing.assert_close(rays.forward[0], torch.tensor([0.0, 0.0, -1.0]).double())
    torch.testing.assert_close(rays.origins[0, 7], torch.tensor([0.0, 0.0, 2.7]).double(), atol=1e-6, rtol=0)


def test_first_pixel_is_the_upper_left():
    first = camera_rays(labels((0, 0)), 4).directions[0, 0]
    slope = 0.375 / cameras.FOCAL  # the centre of pixel 0 of 4 lies at 0.125
    torch.testing.assert_close(
        first[:2] / -first[2], torch.tensor([-slope, slope]).double(), atol=1e-6, rtol=0
    )


def test_rays_project_back_to_their_pixel_centres_with_any_intrinsics():
    label = labels((0.3, 0.2))
    label[0, 16:22] = torch.tensor([3.0, 0.2, 0.45, 0.0, 3.5, 0.6])
    rays = camera_rays(label, 6)
    pose, matrix = cameras.split_label(label[0].numpy())
    points = (rays.origins + 1.7 * rays.directions)[0].numpy()
    in_camera = (points - pose[:3, 3]) @ pose[:3, :3]
    pixels = in_camera @ matrix.T
    v, u = np.meshgrid((np.arange(6) + 0.5) / 6, (np.arange(6) + 0.5) / 6, indexing="ij")
    np.testing.assert_allclose(pixels[:, 0] / pixels[:, 2], u.ravel(), atol=1e-6)
    np.testing.assert_allclose(pixels[:, 1] / pixels[:, 2], v.ravel(), atol=1e-6)
    assert np.allclose(np.linalg.norm(rays.directions[0].numpy(), axis=1), 1)


def test_mirrored_label_mirrors_the_rays():
    label = labels((0.3, 0.2))
    label[0, 16:22] = torch.tensor([3.0, 0.2, 0.45, 0.0, 3.5, 0.6])
    mirrored = torch.as_tensor(cameras.mirror_label(label.numpy()), dtype=torch.float64)
    here = camera_rays(label, 5).directions.reshape(5, 5, 3)
    there = camera_rays(mirrored, 5).directions.reshape(5, 5, 3).flip(1)
    torch.testing.assert_close(there, here * torch.tensor([-1.0, 1, 1]), atol=1e-6, rtol=0)


def test_gradients_reach_the_labels():
    label = labels((0.3, 0.2)).requires_grad_()

    def directions(value: torch.Tensor) -> torch.Tensor:
        return camera_rays(value, 2).directions

    assert torch.autograd.gradcheck(directions, label)
    assert camera_rays(labels((0, 0)).float(), 3).directions.dtype == torch.float32


@pytest.mark.parametrize(
    ("value", "resolution", "error", "name"),
    [
        (torch.zeros(2, 24), 4, ValueError, "labels"),
        (torch.zeros(25), 4, ValueError, "labels"),
        (torch.zeros(2, 25, dtype=torch.int64), 4, TypeError, "labels"),
        (np.zeros((2, 25)), 4, TypeError, "labels"),
        (torch.zeros(2, 25), 0, ValueError, "resolution"),
    ],
)
def test_wrong_arguments_are_named(value, resolution, error, name):
    with pytest.raises(error, match=name):
        camera_rays(value, resolution)
