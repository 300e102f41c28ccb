# SPDX-License-Identifier: MIT
"""One picture, and what is known about it."""
from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Optional, Tuple

import numpy as np

from . import _order
from ._errors import Overwritten
from ._planes import Geometry, packed, planes_of, yuv_to_rgb

if TYPE_CHECKING:
    from ._segment import Segment


def _optional(nanoseconds: int) -> Optional[int]:
    return nanoseconds if nanoseconds >= 0 else None


# What is made of the fields of a descriptor when it is asked for: all of it for each frame
# took longer than finding the frame.
_LATE: Dict[str, Callable[[tuple], Any]] = {
    "discont": lambda fields: bool(fields[7] & 1),
    "corrupted": lambda fields: bool(fields[7] & 2),
    "gap": lambda fields: bool(fields[7] & 4),
    "pts": lambda fields: _optional(fields[21]),
    "duration": lambda fields: _optional(fields[22]),
    "running_time": lambda fields: _optional(fields[23]),
    "capture_time": lambda fields: _optional(fields[24]),
    "publish_time": lambda fields: fields[25],
    "publish_utc": lambda fields: fields[26],
    "framerate": lambda fields: fields[27:29],
    "pixel_aspect_ratio": lambda fields: fields[29:31],
    "colorimetry": lambda fields: fields[31].split(b"\0")[0].decode("ascii", "replace"),
    "orientation": lambda fields: fields[32],
    "made_from": lambda fields: fields[33] or None,
    "due_time": lambda fields: fields[34] or None,
}


class Frame:
    """One picture and what is known about it.

    array         uint8[height][width][3 or 4], uint8[height][width] (GRAY8) or
                  uint16[height][width] (GRAY16_LE); NV12 and I420 as one block of
                  uint8[height * 3 / 2][width], sides rounded up to even, as OpenCV's
                  cvtColor takes it
    planes        the same as a tuple of arrays: (array,), or Y and UV
                  [height / 2][width / 2][2] of NV12, or Y, U and V of I420
    format        GStreamer's name: "RGB", "BGR", "RGBx", "NV12" ...
    width, height pixels
    number        of the frame, from 1, counted by the writer
    missed        frames published since the one before this that were not read
    pts, duration, running_time   ns, or None
    capture_time  ns since 1970 by the sender's clock, or None
    publish_time  ns, as time.monotonic_ns(), when the frame was put into the segment
    publish_utc   ns since 1970
    framerate, pixel_aspect_ratio (numerator, denominator)
    colorimetry   GStreamer's text, may be empty
    due_time      ns, as time.monotonic_ns(), when it was due in its pipeline, or None
    made_from     number of the frame, in another ring, that it was made from, or None
    orientation   degrees by which the picture is to be turned clockwise to stand upright
    discont, corrupted, gap       what the stream said about this frame
    """

    discont: bool
    corrupted: bool
    gap: bool
    pts: Optional[int]
    duration: Optional[int]
    running_time: Optional[int]
    capture_time: Optional[int]
    publish_time: int
    publish_utc: int
    framerate: Tuple[int, int]
    pixel_aspect_ratio: Tuple[int, int]
    colorimetry: str
    orientation: int
    made_from: Optional[int]
    due_time: Optional[int]

    def __init__(self, geometry: Geometry, fields: tuple,
                 segment: Optional[Segment] = None, word: int = 0) -> None:
        self._geometry, self._fields = geometry, fields
        self.format: str = geometry.format
        self.width: int = geometry.width
        self.height: int = geometry.height
        self.planes: Tuple[np.ndarray, ...] = geometry.planes
        self.number: int = fields[1]
        self.missed: int = 0
        self._block: Optional[np.ndarray] = None
        self._segment, self._word = segment, word
        self._sequence = 2 * self.number & 0xFFFFFFFF

    def __getattr__(self, name: str) -> Any:
        if name not in _LATE:
            raise AttributeError(f"'Frame' object has no attribute {name!r}")
        value = self.__dict__[name] = _LATE[name](self._fields)
        return value

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *_LATE]

    def __repr__(self) -> str:
        kind = "copy" if self._segment is None else "view"
        return (f"<shmnumpy.Frame {self.number}: {self.width}x{self.height} "
                f"{self.format}, {kind}>")

    def valid(self) -> bool:
        """Whether what was read through a view so far is whole; always True for copies.

        Work with the view first and ask then: the answer says nothing about later.
        """
        if self._segment is None:
            return True
        _order.fence()
        return self._segment.words[self._word] == self._sequence

    def copy(self) -> "Frame":
        """This frame in memory of its own; raises Overwritten if it is gone already."""
        block = packed(self._geometry)
        if not self.valid():
            raise Overwritten(f"frame {self.number} was overwritten while it was copied")
        planes = planes_of(self._geometry, block)
        twin = Frame(self._geometry._replace(planes=planes), self._fields)
        twin.missed, twin._block = self.missed, block
        return twin

    @property
    def array(self) -> np.ndarray:
        """The pixels as one array; see the class. Of a view of NV12 or I420, a copy."""
        if len(self.planes) == 1:
            return self.planes[0]
        if self._block is None:
            self._block = packed(self._geometry)
        return self._block

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> np.ndarray:
        array = self.array if dtype is None else self.array.astype(dtype, copy=False)
        return array.copy() if copy else array

    @property
    def __array_interface__(self) -> dict:
        """So that PIL takes a frame, and NumPy without a copy. The bytes are those of
        `array`: PIL does not know that they may be BGR, image() does."""
        array = self.array
        # PIL asks an object without the buffer protocol for tobytes() if this is set.
        return {**array.__array_interface__, "strides": array.strides}

    def tobytes(self) -> bytes:
        """The pixels of `array` without gaps."""
        return self.array.tobytes()

    @property
    def age(self) -> float:
        """Seconds since the frame was put into the segment."""
        return (time.monotonic_ns() - self.publish_time) / 1e9

    def rgb(self) -> np.ndarray:
        """uint8[height][width][3] in the order of PIL and matplotlib."""
        return self._colour("RGB")

    def bgr(self) -> np.ndarray:
        """uint8[height][width][3] in the order of OpenCV.

        No copy if the frame has that order: of a view it is read-only (see open()).
        Conversions use OpenCV if the program has imported it and NumPy otherwise, which
        is several times slower.
        """
        return self._colour("BGR")

    def gray(self) -> np.ndarray:
        """uint8[height][width]: luma as it is, or weighted as BT.601 does."""
        if self.format in ("NV12", "I420", "GRAY8"):
            return self.planes[0]
        if self.format == "GRAY16_LE":
            return (self.planes[0] >> 8).astype(np.uint8)
        cv2 = sys.modules.get("cv2")
        if cv2:
            return cv2.cvtColor(self.bgr(), cv2.COLOR_BGR2GRAY)
        weights = np.array([77, 150, 29], np.uint16)
        return (self.rgb() @ weights >> 8).astype(np.uint8)

    def image(self) -> Any:
        """A PIL.Image: mode L for gray formats, RGB for all others."""
        from PIL import Image
        gray = self.format.startswith("GRAY")
        return Image.fromarray(np.ascontiguousarray(self.gray() if gray else self.rgb()))

    def _colour(self, order: str) -> np.ndarray:
        if self.format == order:
            return self.planes[0]
        if self.format.startswith("GRAY"):
            return np.repeat(self.gray()[..., None], 3, 2)
        cv2 = sys.modules.get("cv2")
        if len(self.planes) > 1:
            source, have = yuv_to_rgb(self.planes, self.colorimetry), "RGB"
            if have == order:
                return source
        else:
            source, have = self.planes[0], self.format[:3]
        if cv2:
            swap = have != order
            code = (cv2.COLOR_BGR2RGB if source.shape[2] == 3 else
                    cv2.COLOR_BGRA2RGB if swap else cv2.COLOR_BGRA2BGR)
            return cv2.cvtColor(source, code)
        return np.ascontiguousarray(
            source[..., :3] if have == order else source[..., 2::-1])
