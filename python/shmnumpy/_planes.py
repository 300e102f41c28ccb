# SPDX-License-Identifier: MIT
"""Planes of a picture: as one block, and in other colours."""
from __future__ import annotations

import sys
from typing import NamedTuple, Tuple

import numpy as np


class Geometry(NamedTuple):
    format: str
    width: int
    height: int
    planes: Tuple[np.ndarray, ...]


def packed(geometry: Geometry) -> np.ndarray:
    """A new, C-contiguous array: the frame as one block; 4:2:0 as OpenCV lays it out."""
    planes = geometry.planes
    if len(planes) == 1:
        return np.array(planes[0], order="C")
    height, width = -(-geometry.height // 2) * 2, -(-geometry.width // 2) * 2
    block = np.empty((height * 3 // 2, width), np.uint8)
    for source, target in zip(planes, planes_of(geometry, block)):
        np.copyto(target, source)
    block[geometry.height:height] = block[geometry.height - 1]
    block[:height, geometry.width:] = block[:height, geometry.width - 1:geometry.width]
    return block


def planes_of(geometry: Geometry, block: np.ndarray) -> Tuple[np.ndarray, ...]:
    """The planes inside what packed() makes."""
    if len(geometry.planes) == 1:
        return (block,)
    height, width = block.shape[0] * 2 // 3, block.shape[1]
    chroma = block[height:].reshape(-1)
    luma = block[:geometry.height, :geometry.width]
    if geometry.format == "NV12":
        return luma, chroma.reshape(height // 2, width // 2, 2)
    half = chroma.size // 2
    return (luma, chroma[:half].reshape(height // 2, width // 2),
            chroma[half:].reshape(height // 2, width // 2))


def yuv_to_rgb(planes: Tuple[np.ndarray, ...], colorimetry: str) -> np.ndarray:
    """uint8[height][width][3] RGB of 4:2:0 planes, chroma repeated, matrix honoured."""
    height, width = planes[0].shape
    named = {"bt601": "2:4", "bt709": "2:3", "smpte240m": "2:5"}
    default = "2:3" if height > 576 else "2:4"
    text = "2:6" if colorimetry.startswith("bt2") else named.get(colorimetry, colorimetry)
    full, matrix = ((text if ":" in text else default).split(":") + ["4"])[:2]
    kr, kb = {"3": (.2126, .0722), "5": (.212, .087), "6": (.2627, .0593),
              "2": (.30, .11)}.get(matrix, (.299, .114))
    black, luma, chroma = (0, 1., 1.) if full == "1" else (16, 255 / 219, 255 / 224)
    red, blue = 2 * (1 - kr) * chroma, 2 * (1 - kb) * chroma
    green = 1 - kr - kb
    turn = np.array([[luma, 0, red], [luma, -blue * kb / green, -red * kr / green],
                     [luma, blue, 0]], np.float32)
    shift = -turn @ np.array([black, 128, 128], np.float32)
    u, v = planes[1:] if len(planes) == 3 else (planes[1][..., 0], planes[1][..., 1])
    yuv = np.dstack((planes[0], *(c.repeat(2, 0)[:height].repeat(2, 1)[:, :width]
                                  for c in (u, v))))
    cv2 = sys.modules.get("cv2")
    if cv2:
        return cv2.transform(yuv, np.hstack((turn, shift[:, None])))
    return np.clip(yuv @ turn.T + (shift + .5), 0, 255).astype(np.uint8)
