"""Pictures as arrays and files: reading photos of unknown origin, writing PNG, colouring masks and depth.

NumPy and Pillow only. Pictures are uint8 [H, W, 3] sRGB, masks uint8 part ids [H, W], depth z_cam [H, W]
(OpenCV z, world units, 0 where there is none).
"""

from ssgan_core.pictures.colouring import colour_depth, colour_mask, tile, to_uint8
from ssgan_core.pictures.depth16 import decode_depth16, encode_depth16
from ssgan_core.pictures.reading import (
    EXIF_TURNS,
    MAX_PIXELS,
    load_depth16,
    read_draft,
    read_ids,
    read_image,
    read_orientation,
    read_reduced,
)
from ssgan_core.pictures.writing import (
    encode_jpeg,
    encode_mask,
    encode_png,
    save_depth16,
    save_mask,
    save_png,
)

__all__ = [
    "EXIF_TURNS",
    "MAX_PIXELS",
    "colour_depth",
    "colour_mask",
    "decode_depth16",
    "encode_depth16",
    "encode_jpeg",
    "encode_mask",
    "encode_png",
    "load_depth16",
    "read_draft",
    "read_ids",
    "read_image",
    "read_orientation",
    "read_reduced",
    "save_depth16",
    "save_mask",
    "save_png",
    "tile",
    "to_uint8",
]
