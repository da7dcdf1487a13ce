"""Lifting and rendering: 2D maps of parts become sheets in space, and rays see features, masks and depth."""

from ssgan_core.rendering.rays import Rays, camera_rays
from ssgan_core.rendering.render import BACKENDS, Rendering, render

__all__ = ["BACKENDS", "Rays", "Rendering", "camera_rays", "render"]
