# SPDX-License-Identifier: MIT
"""One ring in shared memory, mapped for reading; nothing in it is believed unchecked."""
from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
import weakref
from typing import Optional, Tuple

import numpy as np

from . import _order
from ._errors import FormatError
from ._file import File, open_file
from ._frame import Frame
from ._layout import (FORMATS, HEADER, HEARTBEAT, LATEST, MAGIC, MAJOR, SLOT, STATE, WAKE,
                      State)
from ._planes import Geometry

_STALLED_NS = 1_000_000_000
_STATES = tuple(state for state in State if state <= State.STOPPED)
_segments: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


class Segment:
    """One inode of NAME.ring, mapped. Views keep the mapping alive; nothing unmaps it."""

    def __init__(self, path: str, file: File, size: int) -> None:
        self._path, self._file = path, file
        self.map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        (_, abi, _, self.generation, self.bytes, self.slots, self._desc_bytes,
         self._desc, _, _, _, self.pid, _,
         self.writer_start) = HEADER.unpack_from(self.map)
        self.minor = abi & 0xFFFF
        if abi >> 16 != MAJOR:
            raise FormatError(f"{path} has version {abi >> 16}.{self.minor} of the "
                              f"layout, this reader understands {MAJOR}.x")
        control = self._desc + self.slots * self._desc_bytes
        if self.bytes > size:
            raise FormatError(f"{path} is truncated: {size} of {self.bytes} bytes")
        if (not 2 <= self.slots <= 60 or self._desc_bytes < 256 or self._desc < 0xA0
                or (self._desc | self._desc_bytes) & 7 or control > self.bytes):
            raise FormatError(f"{path}: {self.slots} slots do not fit the segment")
        # Words of 32 bits are loaded whole even by a 32-bit Python; 64-bit ones are not.
        self.words = memoryview(self.map)[:control].cast("I")
        self._whole = np.frombuffer(self.map, np.uint8)
        self._cache: dict = {}
        self._parsed: Tuple[int, Optional[Geometry], tuple] = (-1, None, ())

    @classmethod
    def attach(cls, path: str) -> Optional["Segment"]:
        """The segment, or None while it is absent, being made or left by a dead writer."""
        segment = cls.look(path)
        return None if segment is None or segment.dead() else segment

    @classmethod
    def look(cls, path: str) -> Optional["Segment"]:
        """The segment, a dead writer's too, or None while it is absent or being made."""
        file = open_file(path)
        size = os.fstat(file.fileno()).st_size if file else 0
        if file is None or not size:
            return None
        magic = os.pread(file.fileno(), 8, 0)
        if magic == bytes(8):
            return None
        if magic != MAGIC:
            raise FormatError(f"{path} does not hold frames: it starts with {magic!r}")
        if size < 4096:
            raise FormatError(f"{path} is truncated: {size} bytes")
        # Readers of one ring share what is here. It is open as long as it is known, so that
        # no other file has its number meanwhile.
        key = path, os.fstat(file.fileno()).st_ino
        known = _segments.get(key)
        if known is None or size < known.bytes:
            known = _segments[key] = cls(path, file, size)
        return known

    def check_size(self) -> None:
        """Raise if the file became smaller than the mapping: a touch would be SIGBUS."""
        if self.map.size() < self.bytes:
            raise FormatError(f"{self._path} shrank to {self.map.size()} bytes")

    def state(self) -> State:
        state = self.words[STATE]
        return _STATES[state] if state < len(_STATES) else State.INIT

    def wait(self, wake: int, seconds: float) -> None:
        """Sleep until `wake` has changed, a signal came or the time is over."""
        if _order.futex is not None:
            _order.futex(self._whole.ctypes.data + WAKE * 4, wake, seconds)
            return
        end = time.monotonic() + seconds
        while self.words[WAKE] == wake and time.monotonic() < end:
            time.sleep(0.001)

    def fileno(self) -> int:
        return self._file.fileno()

    def replaced(self) -> bool:
        """Another inode has the name. No inode at all is no reason to let go of this."""
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            return False
        return named.st_ino != self.inode()

    def inode(self) -> int:
        return os.fstat(self._file.fileno()).st_ino

    def dead(self) -> bool:
        """The writer no longer holds its lock. Asked only when the heartbeat is old, or
        of a time to come, as it may be when its bytes were loaded one by one."""
        beat = struct.unpack_from("<Q", self.map, HEARTBEAT)[0]
        if 0 <= time.monotonic_ns() - beat < _STALLED_NS:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return True

    def newest(self) -> Optional["Frame"]:
        """A view of the newest frame, or None if there is none or it is just changing."""
        latest = self.words[LATEST]
        slot = (latest & 0xFF) - 1
        if slot < 0:
            return None
        if slot >= self.slots:
            raise FormatError(f"{self._path} names slot {slot} of {self.slots}")
        offset = self._desc + slot * self._desc_bytes
        _order.fence()
        sequence = self.words[offset // 4]
        if sequence & 1 or (sequence >> 1 ^ latest >> 8) & 0xFFFFFF:
            return None
        known, geometry, fields = self._parsed
        if known == sequence and geometry is not None:
            return Frame(geometry, fields, self, offset // 4)
        _order.fence()
        raw = self.map[offset:offset + 256]
        _order.fence()
        if self.words[offset // 4] != sequence:
            return None
        fields = SLOT.unpack_from(raw)
        if (2 * fields[1] ^ sequence) & 0xFFFFFFFF:
            raise FormatError(f"{self._path}: frame {fields[1]} in the slot of another")
        key = raw[16:44] + raw[48:128]
        geometry = self._cache.get(key)
        if geometry is None:
            if len(self._cache) > 2 * self.slots:  # the size changes with every frame
                self._cache.clear()
            geometry = self._cache[key] = self._geometry(fields)
        self._parsed = sequence, geometry, fields
        return Frame(geometry, fields, self, offset // 4)

    def _geometry(self, fields: tuple) -> Geometry:
        """Arrays over the planes of a slot; everything is checked before it is used."""
        if os.fstat(self._file.fileno()).st_blocks * 512 < self.bytes:
            # To look at a hole takes memory, and is SIGBUS where there is none.
            raise FormatError(f"{self._path} has holes: its writer did not reserve it")
        start, size, width, height, count = fields[2:7]
        name = fields[8].split(b"\0")[0].decode("ascii", "replace")
        if name not in FORMATS:
            raise FormatError(f"{self._path}: unknown pixel format {name!r}")
        wanted = FORMATS[name]
        if count != len(wanted) or not (0 < width < 65536 and 0 < height < 65536):
            raise FormatError(f"{self._path}: {width}x{height} {name}, {count} planes")
        if start + size > self.bytes:
            raise FormatError(f"{self._path}: a frame ends outside the segment")
        planes = []
        for index, (pixel, sub) in enumerate(wanted):
            offset, stride, rows = fields[9 + 3 * index:12 + 3 * index]
            columns, lines = -(-width // sub), -(-height // sub)
            row = columns * pixel
            if stride < row or rows < lines or offset + stride * (lines - 1) + row > size:
                raise FormatError(f"{self._path}: plane {index} ends outside its frame")
            dtype, shape = np.dtype("u1"), (lines, columns)
            strides: Tuple[int, ...] = (stride, pixel)
            if name == "GRAY16_LE":
                dtype = np.dtype("<u2")
            elif pixel > 1:
                shape, strides = shape + (pixel,), strides + (1,)
            planes.append(np.ndarray(shape, dtype, self.map, start + offset, strides))
        return Geometry(name, width, height, tuple(planes))
