# SPDX-License-Identifier: MIT
"""The writing end: frames of a program into a ring that shmnumpysrc and readers see.

The order of stores, growth, the lock and what becomes of it in forked children are those
of the writer in C++, which shmnumpysink has, too: libshmnumpy-writer.so.0 through ctypes.
"""
from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import operator
import os
import threading
import weakref
from typing import Any, Iterator, NamedTuple, Optional, Tuple

import numpy as np

from ._file import plain_name
from ._frame import Frame
from ._layout import FORMATS, MAJOR, SLOT, SLOT_BYTES, State

_LIBRARY = "libshmnumpy-writer.so.0"
_log = logging.getLogger("shmnumpy")
_CORRUPTED, _GAP = 2, 4  # flags of a frame that hold for what is made of it


class _Error(ctypes.Structure):
    _fields_ = [("number", ctypes.c_int), ("text", ctypes.c_char * 508)]

    def raised(self) -> OSError:
        """ENOSPC, EBUSY ... as the subclass of OSError that Python has for it."""
        return OSError(self.number, self.text.decode(errors="replace"))


@functools.lru_cache(maxsize=None)
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise ImportError(
            f"{error}: shmnumpy.create() needs {_LIBRARY}, which the package "
            "libshmnumpy-writer0 has; after an installation from source run ldconfig"
        ) from error
    pointer, number, error = ctypes.c_void_p, ctypes.c_uint64, ctypes.POINTER(_Error)
    for name, result, arguments in (
            ("writer_abi", ctypes.c_uint32, []),
            ("writer_start", pointer,
             [ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint32, error]),
            ("writer_acquire", pointer, [pointer, number, error]),
            ("writer_publish", number, [pointer, pointer, pointer]),
            ("writer_set_state", None, [pointer, ctypes.c_uint32]),
            ("writer_stop", None, [pointer]),
            ("place_pixels", pointer, [pointer]),
            ("place_abandon", None, [pointer]),
            ("place_free", None, [pointer])):
        function = getattr(library, "shmnumpy_" + name)
        function.restype, function.argtypes = result, arguments
    if library.shmnumpy_writer_abi() >> 16 != MAJOR:
        raise ImportError(f"{_LIBRARY} is of another version: install the package "
                          "libshmnumpy-writer0 that belongs to this module")
    return library


class _Plan(NamedTuple):
    """How frames of one size lie in a slot."""

    shape: Tuple[int, ...]
    dtype: np.dtype
    bytes: int
    planes: Tuple[int, ...]  # offset, stride and rows of four planes


@functools.lru_cache(maxsize=64)
def _plan(pixel_format: str, width: int, height: int) -> _Plan:
    if not (0 < width < 65536 and 0 < height < 65536):
        raise ValueError(f"{width}x{height}: sides are 1 to 65535 pixels")
    wanted = FORMATS[pixel_format]
    if len(wanted) > 1 and (width | height) % 2:
        raise ValueError(f"{width}x{height}: {pixel_format} takes even sides only")
    numbers, end = [], 0
    for pixel, sub in wanted:
        stride, rows = width // sub * pixel, height // sub
        numbers += [end, stride, rows]
        end += stride * rows
    pixel = wanted[0][0]
    dtype = np.dtype("<u2" if pixel_format == "GRAY16_LE" else "u1")
    shape: Tuple[int, ...] = (height, width)
    if len(wanted) > 1:
        shape = (height * 3 // 2, width)
    elif pixel > 2:
        shape = (height, width, pixel)
    return _Plan(shape, dtype, end, tuple(numbers + [0] * (12 - len(numbers))))


class _Place:
    """A slot that is filled, and memory for as long as an array refers to it."""

    def __init__(self, library: ctypes.CDLL, pointer: int, size: int) -> None:
        self.pointer, self._library, self._process = pointer, library, os.getpid()
        self.__array_interface__ = {
            "version": 3, "shape": (size,), "typestr": "|u1",
            "data": (library.shmnumpy_place_pixels(pointer), False)}

    def abandon(self) -> None:
        """Give the slot back without publishing it."""
        if os.getpid() == self._process:
            self._library.shmnumpy_place_abandon(self.pointer)

    def __del__(self, getpid: Any = os.getpid) -> None:
        if getpid() == self._process:  # in a child locks may be held by nobody
            self._library.shmnumpy_place_free(self.pointer)


class _Handle:
    """The writer in C++, until it is stopped: by close(), with the Writer or at exit."""

    def __init__(self, library: ctypes.CDLL, pointer: int) -> None:
        self.library, self.process = library, os.getpid()
        self.lock = threading.Lock()
        self.pointer: Optional[int] = pointer

    def stop(self) -> None:
        if os.getpid() != self.process:  # asked first: the lock may be held for ever here
            return
        with self.lock:
            pointer, self.pointer = self.pointer, None
        if pointer is not None:
            self.library.shmnumpy_writer_stop(pointer)


def _checked_rate(framerate: Any) -> Tuple[int, int]:
    try:
        above, below = map(operator.index, framerate)
    except (TypeError, ValueError):
        above, below = -1, 1
    if not (0 <= above < 2**31 and 0 < below < 2**31):
        raise ValueError(f"framerate={framerate!r}: two whole numbers up to 2147483647, "
                         "as (30, 1), (30000, 1001), or (0, 1) for a variable one")
    return above, below


def _checked_mode(mode: Any) -> int:
    if not isinstance(mode, int) or not 0 <= mode <= 0o777 or mode & 0o600 != 0o600:
        said = f"{mode} (0o{mode:o})" if isinstance(mode, int) and mode >= 0 else repr(mode)
        raise ValueError(f"mode={said}: 0o600 to 0o777, with 0o600 in it and the 0o in "
                         "front; 0o660 = the group may read, too")
    return mode


class Writer:
    """Frames of this program in shared memory; made by create().

    Threads may share it. A forked child may not write: it calls create() with a name of
    its own. The ring ends with close(), with the writer and with the program; what a
    killed one leaves is taken over by the next writer with its name.

    name, format, framerate   as given to create()
    dropped                   frames for which there was no room
    """

    def __init__(self, name: str, pixel_format: str, framerate: Tuple[int, int],
                 mode: int, slots: int) -> None:
        if pixel_format not in FORMATS:
            raise ValueError(f"unknown format {pixel_format!r}: take one of "
                             + ", ".join(FORMATS))
        if slots and not 3 <= slots <= 60:
            raise ValueError(f"slots={slots}: 3 to 60, or 0 for as many as are useful")
        self.name, self.format, self.framerate = name, pixel_format, _checked_rate(framerate)
        mode, file_name = _checked_mode(mode), os.fsencode(plain_name(name))
        self.dropped = 0
        self._library = _library()
        error = _Error()
        pointer = self._library.shmnumpy_writer_start(file_name, mode, slots, error)
        if not pointer:
            raise error.raised()
        self._handle = _Handle(self._library, pointer)
        weakref.finalize(self, self._handle.stop)

    def write(self, array: Any, like: Optional[Frame] = None) -> Optional[int]:
        """Publish a copy of `array` and return its number, None if it had to be dropped.

        array: uint8[height][width][3 or 4], uint8[height][width] for GRAY8,
        uint16[height][width] for GRAY16_LE, uint8[height * 3 / 2][width] for NV12 and
        I420, as Frame.array has them; the size may be another each time. like: the frame
        that it was made from, whose times it keeps. Raises ValueError for an array that
        does not fit the format, OSError (ENOSPC) when /dev/shm is full.
        """
        array = np.asarray(array)
        rows, columns = array.shape[:2] if array.ndim > 1 else (0, 0)
        if len(FORMATS[self.format]) > 1:
            rows = rows * 2 // 3
        plan = _plan(self.format, columns, rows) if rows and columns else None
        if plan is None or plan.shape != array.shape or plan.dtype != array.dtype:
            raise ValueError(self._misfit(array))
        place = self._acquire(plan.bytes)
        if place is None:
            return None
        np.copyto(_pixels(place, plan), array)
        return self._publish(place, plan, columns, rows, like)

    @contextlib.contextmanager
    def slot(self, width: int, height: int,
             like: Optional[Frame] = None) -> Iterator[np.ndarray]:
        """The memory of the next frame, to be filled in place and published at the end of
        the with-block; an exception in there drops it.

        The array is as write() takes it, its pixels are undefined. It is read-only
        afterwards, and so must be what was made of it (views): readers look at it.
        """
        plan = _plan(self.format, width, height)
        place = self._acquire(plan.bytes)
        if place is None:  # something to work on all the same
            yield np.empty(plan.shape, plan.dtype)
            return
        array = _pixels(place, plan)
        try:
            yield array
        except BaseException:
            place.abandon()
            raise
        finally:
            array.flags.writeable = False
        self._publish(place, plan, width, height, like)

    def end(self) -> None:
        """Tell readers that the stream has ended; the next frame begins another."""
        with self._held() as pointer:
            self._library.shmnumpy_writer_set_state(pointer, State.EOS)

    def reconnecting(self) -> None:
        """Tell readers that no frames come for a while, and the last one is stale; the next
        frame tells that it is over."""
        with self._held() as pointer:
            self._library.shmnumpy_writer_set_state(pointer, State.RECONNECTING)

    def close(self) -> None:
        """Tell readers that the writer left, and remove the ring. In a forked child it is
        forgotten, and no more."""
        self._handle.stop()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<shmnumpy.Writer {self.name!r}, {self.format}>"

    def _misfit(self, array: np.ndarray) -> str:
        shape = {"GRAY8": "uint8[height][width]", "GRAY16_LE": "uint16[height][width]",
                 "NV12": "uint8[height * 3 / 2][width]",
                 "I420": "uint8[height * 3 / 2][width]"}.get(
                     self.format, f"uint8[height][width][{FORMATS[self.format][0][0]}]")
        return (f"an array of {array.dtype}{list(array.shape)} is no frame of "
                f"{self.format}, which is {shape}: convert it, or name another format in "
                "create()")

    @contextlib.contextmanager
    def _held(self) -> Iterator[int]:
        """The writer in C++, for one thread."""
        handle = self._handle
        if os.getpid() != handle.process:  # asked first: the lock may be held for ever here
            raise RuntimeError(f"process {handle.process} writes {self.name!r}: call "
                               "create() with another name in this one")
        with handle.lock:
            if handle.pointer is None:
                raise ValueError(f"the writer of {self.name!r} is closed")
            yield handle.pointer

    def _acquire(self, size: int) -> Optional[_Place]:
        error = _Error()
        with self._held() as writer:
            place = self._library.shmnumpy_writer_acquire(writer, size, error)
            self.dropped += not place and not error.number
        if not error.number and error.text:
            _log.warning("%s: %s", self.name, error.text.decode(errors="replace"))
        if place:
            return _Place(self._library, place, size)
        if error.number:
            raise error.raised()
        return None

    def _publish(self, place: _Place, plan: _Plan, width: int, height: int,
                 like: Optional[Frame]) -> Optional[int]:
        slot = self._describe(plan, width, height, like)
        with self._held() as writer:
            number = self._library.shmnumpy_writer_publish(writer, place.pointer, slot)
            self.dropped += not number
        return number or None

    def _describe(self, plan: _Plan, width: int, height: int,
                  like: Optional[Frame]) -> ctypes.Array:
        slot = ctypes.create_string_buffer(SLOT_BYTES)
        flags, times, rate, shape, colour, turn, made_from, due = (
            0, (-1,) * 4, self.framerate, (1, 1), b"", 0, 0, 0)
        if like is not None:
            flags = like.corrupted * _CORRUPTED | like.gap * _GAP
            times = like._fields[21:25]
            rate, shape = like.framerate, like.pixel_aspect_ratio
            colour = like.colorimetry.encode() if like.format == self.format else b""
            turn, made_from, due = like.orientation, like.number, like.due_time or 0
        SLOT.pack_into(slot, 0, 0, 0, 0, plan.bytes, width, height,
                       len(FORMATS[self.format]), flags, self.format.encode(),
                       *plan.planes, *times, 0, 0, *rate, *shape, colour, turn, made_from,
                       due)
        return slot


def _pixels(place: _Place, plan: _Plan) -> np.ndarray:
    return np.asarray(place).view(plan.dtype).reshape(plan.shape)
