# SPDX-License-Identifier: MIT
"""The reader of the one-slot segment that Raspberry.Ninja's publish.py writes as well."""
from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import Optional

import numpy as np

from ._errors import FormatError
from ._file import File, open_file, segment_path
from ._frame import Frame
from ._planes import Geometry
from ._source import POLL, Source


class LegacyFrames(Source):
    """Frames of the one-slot segment that Raspberry.Ninja's publish.py writes as well.

    A frame that the writer overtakes is read again, but this layout has no way to tell
    every torn frame: use the ring where there is one. `number` counts modulo-255 steps,
    times are None, `format` is what the caller of open_legacy() said.
    """

    def __init__(self, name: str, timeout: Optional[float], pixel_format: str,
                 udp_port: int) -> None:
        super().__init__(name, timeout, True)
        if pixel_format not in ("RGB", "BGR"):
            raise ValueError("a legacy segment holds RGB or BGR")
        self._path, self._format = segment_path(name), pixel_format
        self._file: Optional[File] = None
        self._counter, self._number = -1, 0
        self._socket: Optional[socket.socket] = None
        if udp_port:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self._socket.bind(("127.0.0.1", udp_port))
            except OSError:  # another reader has it: look at the counter instead
                self._socket.close()
                self._socket = None

    def _poll(self, copy: bool) -> Optional[Frame]:
        if self._file is None:
            self._file = open_file(self._path)
        if self._file is None:
            return None
        descriptor = self._file.fileno()
        for _ in range(10):
            head = os.pread(descriptor, 5, 0)
            if len(head) < 5 or head[4] == self._counter:
                return None
            # bytes yield Python integers: NumPy 2 would compute modulo 256 here.
            width, height = head[0] * 255 + head[1], head[2] * 255 + head[3]
            if not width or not height:
                return None
            fits = 5 + width * height * 3 <= os.fstat(descriptor).st_size
            pixels = np.empty((height, width, 3) if fits else 0, np.uint8)
            fits &= os.preadv(descriptor, [pixels], 5) == pixels.nbytes
            if os.pread(descriptor, 5, 0) != head:
                continue
            if not fits:
                raise FormatError(f"{self._path}: {width}x{height} does not fit the file")
            return self._frame(head[4], pixels)
        return None

    def _frame(self, counter: int, pixels: np.ndarray) -> Frame:
        step = 1 if self._counter < 0 else (counter - self._counter) % 255
        self._counter, self._number = counter, self._number + step
        height, width = pixels.shape[:2]
        now = time.monotonic_ns(), time.time_ns()
        fields = ((0, self._number) + (0,) * 19 + (-1,) * 4 + now + (0, 1, 1, 1, b"", 0, 0, 0))
        frame = Frame(Geometry(self._format, width, height, (pixels,)), fields)
        frame.missed = step - 1
        return frame

    def _wait(self, seconds: float) -> None:
        if self._file is None:
            time.sleep(min(seconds, POLL))
            return
        if self._socket is None:
            time.sleep(min(seconds, 0.001))
        else:
            self._socket.settimeout(seconds)
            try:
                self._socket.recv(64)
            except OSError:
                pass
        self._leave()

    async def _wait_async(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, POLL if self._file is None else 0.001))
        self._leave()

    def _leave(self) -> None:
        try:
            named = os.stat(self._path).st_ino
        except FileNotFoundError:
            return
        if self._file and named != os.fstat(self._file.fileno()).st_ino:
            self._file, self._counter = None, -1

    def close(self) -> None:
        super().close()
        self._file = None
        if self._socket is not None:
            self._socket.close()
