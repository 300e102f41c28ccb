# SPDX-License-Identifier: MIT
"""Frames by the methods of cv2.VideoCapture, for programs that are written for it."""
from __future__ import annotations

import logging
from typing import Any, Optional, Tuple, Union

import numpy as np

from ._errors import FormatError, LaunchError
from ._file import segment_path
from ._frame import Frame
from ._launch import is_link, launch
from ._ring import Frames
from ._segment import Segment

# cv2.CAP_PROP_*, by number: OpenCV need not be there.
_POS_MSEC, _POS_FRAMES, _WIDTH, _HEIGHT, _FPS, _FORMAT, _CONVERT_RGB = 0, 1, 3, 4, 5, 8, 16
_BUFFERSIZE, _ORIENTATION, _READ_TIMEOUT = 38, 48, 54
_CV_8UC3 = 16
_log = logging.getLogger("shmnumpy")


class Capture:
    """What cv2.VideoCapture is to cameras and files, for streams and rings. For one thread.

    source      a link; the name of a ring whose writer lives (as for open()); otherwise a
                stream id (as for launch()); or what open() and launch() return
    api         ignored, as OpenCV has one there
    timeout     seconds without a frame after which read() returns False, None = never
    properties  those of launch(), which then plays the source whatever rings there are:
                password="secret", or pipeline="..." without a source

    As with OpenCV, what cannot be opened is isOpened() == False and no exception; the
    reason is a warning of the logger "shmnumpy". Unlike it, read() gives the newest frame
    and none twice: who is slow misses frames and never falls behind.
    """

    def __init__(self, source: Union[str, Frames, None] = None, api: int = 0, *,
                 timeout: Optional[float] = 30.0, **properties: Any) -> None:
        self._frames: Optional[Frames] = None
        self._seen: Optional[Frame] = None     # the newest frame, of which get() tells
        self._grabbed: Optional[Frame] = None  # by grab(), for retrieve()
        self._timeout = timeout
        if source is not None or properties:
            self.open(source, api, **properties)

    def open(self, source: Union[str, Frames, None] = None, api: int = 0,
             **properties: Any) -> bool:
        """Let go of what is open and open another; returns isOpened()."""
        self.release()
        if not isinstance(source, (str, Frames, type(None))):
            raise TypeError(f"{source!r} is no stream id, link or name of a ring; a camera "
                            'is Capture(pipeline="v4l2src device=/dev/video0")')
        try:
            frames = self._open(source, properties)
            self._seen = frames._peek(self._timeout)
            if self._seen is not None:
                self._frames = frames
                return True
            _log.warning("%s: no frame came within %s s", frames.name, self._timeout)
            frames.close()
        except (LaunchError, ValueError, OSError) as error:
            _log.warning("%s: %s", source if isinstance(source, str) else "capture", error)
        return False

    def _open(self, source: Union[str, Frames, None], properties: dict) -> Frames:
        if isinstance(source, Frames):
            return source
        if source and not is_link(source) and "/" in source.lstrip("/"):
            raise ValueError("no stream id, link or name of a ring; a file is "
                             'Capture(pipeline="filesrc location=... ! decodebin")')
        if source and not properties and not is_link(source) and Segment.attach(
                segment_path(source, ".ring")):
            return Frames(source, None, True, until_eos=True)
        return launch(source, **{"format": "bgr", "start": self._timeout, **properties})

    def isOpened(self) -> bool:
        return self._frames is not None

    def grab(self) -> bool:
        """Take the next frame, for retrieve(); False at the end of the stream."""
        self._grabbed = None
        if self._frames is not None:
            try:
                self._grabbed = self._frames.read(self._timeout, copy=True)
            except (LaunchError, FormatError, OSError) as error:
                _log.warning("%s: %s", self._frames.name, error)
        self._seen = self._grabbed or self._seen
        return self._grabbed is not None

    def retrieve(self, image: Optional[np.ndarray] = None, flag: int = 0
                 ) -> Tuple[bool, Optional[np.ndarray]]:
        """(True, uint8[height][width][3] in BGR, yours to draw on) of the grabbed frame, or
        (False, None). An image of that shape is filled, as OpenCV does."""
        if self._grabbed is None:
            return False, None
        bgr = self._grabbed.bgr()
        if image is not None and image.shape == bgr.shape:
            np.copyto(image, bgr)
            return True, image
        return True, bgr

    def read(self, image: Optional[np.ndarray] = None
             ) -> Tuple[bool, Optional[np.ndarray]]:
        """grab() and retrieve()."""
        return self.retrieve(image) if self.grab() else (False, None)

    def get(self, prop: int) -> float:
        """A cv2.CAP_PROP_*; 0 for those that a stream does not have, as in OpenCV."""
        frame = self._seen
        if self._frames is None or frame is None:
            return 0.0
        rate, per = frame.framerate
        return float({
            _POS_MSEC: (frame.running_time or 0) / 1e6, _POS_FRAMES: frame.number,
            _WIDTH: frame.width, _HEIGHT: frame.height, _FPS: rate / per if per else 0,
            _FORMAT: _CV_8UC3, _CONVERT_RGB: 1, _BUFFERSIZE: 1,
            _ORIENTATION: frame.orientation, _READ_TIMEOUT: (self._timeout or 0) * 1e3,
        }.get(prop, 0))

    def set(self, prop: int, value: float) -> bool:
        """False: size, rate and the rest are the publisher's."""
        return False

    def getBackendName(self) -> str:
        return "SHMNUMPY"

    def release(self) -> None:
        """Let go of the source, and end a pipeline that was started for it."""
        if self._frames is not None:
            self._frames.close()
        self._frames = self._seen = self._grabbed = None
