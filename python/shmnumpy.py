# SPDX-License-Identifier: MIT
"""Video frames from shared memory as NumPy arrays: the reading end of shmnumpysink.

    import shmnumpy
    with shmnumpy.open("psm_raspininja_streamid") as frames:
        for frame in frames:                    # the newest frame each time
            print(frame.number, frame.format, frame.array.shape, frame.pts)

This one file needs NumPy and nothing else: README.md says how to install it, or copy it
next to your program. It reads and never writes, locks nothing for longer than a
probe, never unlinks a segment, and any number of readers may come, go and crash without
the pipeline noticing. docs/shm-format.md describes the bytes.

Times are nanoseconds (int), or None where the stream has none. Shapes are (rows, columns)
or (rows, columns, channels), uint8 unless said otherwise.
"""
from __future__ import annotations

import asyncio
import ctypes
import enum
import fcntl
import mmap
import os
import platform
import socket
import stat
import struct
import sys
import threading
import time
from typing import (Any, AsyncIterator, Callable, Iterator, NamedTuple, Optional, Tuple,
                    TypeVar, Union)

import numpy as np

__all__ = ["open", "open_legacy", "Frames", "LegacyFrames", "Frame", "State",
           "FormatError", "Overwritten", "DEFAULT_NAME"]
__version__ = "0.1.0"

DEFAULT_NAME = "psm_raspininja_streamid"
_DIRECTORY = "/dev/shm"
_SLICE = 0.25      # seconds between looks at whether the writer is alive or replaced
_POLL = 0.02       # seconds between looks for a segment that is not there
_STALLED_NS = 1_000_000_000

# Header: indices of the 32-bit words that change, and the fields that do not.
_LATEST, _HEARTBEAT, _STATE, _WAKE = 0x80 // 4, 0x88, 0x98 // 4, 0x9C // 4
_HEADER = struct.Struct("<8sII QQ II QQQ 8xQ II Q")
_SLOT = struct.Struct("<QQQQ IIII 16s QII QII QII QII qqqq QQ II II 24s I")
_MAGIC = b"SHMNPY2\0"
_MAJOR = 2

# Format -> bytes of a pixel in each plane, and by how much the plane is subsampled.
_FORMATS = {
    **dict.fromkeys(("RGB", "BGR"), ((3, 1),)),
    **dict.fromkeys(("RGBx", "BGRx", "RGBA", "BGRA"), ((4, 1),)),
    "GRAY8": ((1, 1),), "GRAY16_LE": ((2, 1),),
    "NV12": ((1, 1), (2, 2)), "I420": ((1, 1), (1, 2), (1, 2)),
}


class FormatError(ValueError):
    """The segment is not one that this reader understands; the text says why."""


class Overwritten(RuntimeError):
    """The writer reused the memory of a view before it had been copied."""


class State(enum.IntEnum):
    """What the writer is doing."""

    INIT = 0          # started, no frame yet
    LIVE = 1
    EOS = 2           # the stream ended; another may follow
    RECONNECTING = 3  # the publisher is away, the last frame is stale
    RETIRED = 4       # replaced by a larger or newer segment
    STOPPED = 5       # the writer has left
    ABSENT = 6        # there is no writer: none came yet, or it died


def _lock_fence() -> None:
    """A fence where there is no libatomic: what precedes the release of a lock comes
    before what follows its acquisition.

    A lock is a semaphore of libc. ARMv8 keeps a store-release (stlxr, casl) before a later
    load-acquire (ldaxr, casa), ARMv7 and ARMv6 have a whole barrier in either. A mutex
    would not do: glibc takes it without any of that in a process of one thread. Nor
    sched_yield, which contains a barrier, but takes 10 ms beside busy processes.
    """
    lock = threading.Lock()
    with lock:
        pass
    with lock:
        pass


def _pick_fence() -> Callable[[], Any]:
    """Keeps loads before it before loads after it, and stores likewise. x86 does so by
    itself, others need help."""
    if platform.machine() in ("x86_64", "AMD64", "i686", "i386"):
        return lambda: None
    try:  # PyDLL: shorter than letting other threads have the interpreter
        fence = ctypes.PyDLL("libatomic.so.1").atomic_thread_fence
        return lambda: fence(5)
    except (OSError, AttributeError):
        return _lock_fence


def _futex_number() -> Optional[int]:
    """The number of the system call, None where it is not known."""
    machine = platform.machine()
    if sys.maxsize > 2**32:
        return {"x86_64": 202, "aarch64": 98, "riscv64": 98}.get(machine)
    # A 32-bit Python may run on a 64-bit kernel.
    return 240 if machine[:3] in ("arm", "aar", "i68", "i38", "x86") else None


def _pick_futex() -> Optional[Callable[[int, int, float], None]]:
    """FUTEX_WAIT(address, value, seconds); None where the call is not known."""
    number = _futex_number()
    if number is None or not sys.platform.startswith("linux"):
        return None
    syscall = ctypes.CDLL(None).syscall

    def wait(address: int, value: int, seconds: float) -> None:
        limit = (ctypes.c_long * 2)(int(seconds), int(seconds % 1 * 1e9))
        syscall(ctypes.c_long(number), ctypes.c_void_p(address), 0,
                ctypes.c_uint32(value), limit, None, 0)

    return wait


_fence = _pick_fence()
_futex = _pick_futex()


class _File:
    """A descriptor that is closed when nothing refers to it any more: frames that were
    handed out may need it longer than the reader that opened it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self._descriptor)


def _open_file(path: str) -> Optional[_File]:
    """The segment opened for reading only, or None if it does not exist.

    Not SharedMemory: before Python 3.13 its resource tracker unlinks what it only read.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = _File(os.open(path, flags))
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise FormatError(f"{path} is not a regular file")
    return file


def _path(name: str, suffix: str = "") -> str:
    name = name[1:] if name.startswith("/") else name
    if not name or "/" in name or "\0" in name or len(name) > 240:
        raise ValueError(f"{name!r} is no name of shared memory: 1 to 240 characters, "
                         "no slash")
    return f"{_DIRECTORY}/{name}{suffix}"


class _Geometry(NamedTuple):
    format: str
    width: int
    height: int
    planes: Tuple[np.ndarray, ...]


class _Segment:
    """One inode of NAME.ring, mapped. Views keep the mapping alive; nothing unmaps it."""

    def __init__(self, path: str, file: _File, size: int) -> None:
        self._path, self._file = path, file
        self.map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        (_, abi, _, self.generation, self.bytes, self.slots, self._desc_bytes,
         self._desc, _, _, _, self.pid, _,
         self.writer_start) = _HEADER.unpack_from(self.map)
        if abi >> 16 != _MAJOR:
            raise FormatError(f"{path} has version {abi >> 16}.{abi & 0xFFFF} of the "
                              f"layout, this reader understands {_MAJOR}.x")
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

    @classmethod
    def attach(cls, path: str) -> Optional["_Segment"]:
        """The segment, or None while it is absent, being made or left by a dead writer."""
        file = _open_file(path)
        size = os.fstat(file.fileno()).st_size if file else 0
        if file is None or not size:
            return None
        magic = os.pread(file.fileno(), 8, 0)
        if magic == bytes(8):
            return None
        if magic != _MAGIC:
            raise FormatError(f"{path} does not hold frames: it starts with {magic!r}")
        if size < 4096:
            raise FormatError(f"{path} is truncated: {size} bytes")
        segment = cls(path, file, size)
        return None if segment.dead() else segment

    def check_size(self) -> None:
        """Raise if the file became smaller than the mapping: a touch would be SIGBUS."""
        if self.map.size() < self.bytes:
            raise FormatError(f"{self._path} shrank to {self.map.size()} bytes")

    def state(self) -> State:
        state = self.words[_STATE]
        return State(state) if state <= State.STOPPED else State.INIT

    def wait(self, wake: int, seconds: float) -> None:
        """Sleep until `wake` has changed, a signal came or the time is over."""
        if _futex is not None:
            _futex(self._whole.ctypes.data + _WAKE * 4, wake, seconds)
            return
        end = time.monotonic() + seconds
        while self.words[_WAKE] == wake and time.monotonic() < end:
            time.sleep(0.001)

    def replaced(self) -> bool:
        """Another inode has the name. No inode at all is no reason to let go of this."""
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            return False
        return named.st_ino != os.fstat(self._file.fileno()).st_ino

    def dead(self) -> bool:
        """The writer no longer holds its lock. Asked only when the heartbeat is old, or
        of a time to come, as it may be when its bytes were loaded one by one."""
        beat = struct.unpack_from("<Q", self.map, _HEARTBEAT)[0]
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
        latest = self.words[_LATEST]
        slot = (latest & 0xFF) - 1
        if slot < 0:
            return None
        if slot >= self.slots:
            raise FormatError(f"{self._path} names slot {slot} of {self.slots}")
        offset = self._desc + slot * self._desc_bytes
        _fence()
        sequence = self.words[offset // 4]
        if sequence & 1 or (sequence >> 1 ^ latest >> 8) & 0xFFFFFF:
            return None
        _fence()
        raw = self.map[offset:offset + 256]
        _fence()
        if self.words[offset // 4] != sequence:
            return None
        fields = _SLOT.unpack_from(raw)
        if (2 * fields[1] ^ sequence) & 0xFFFFFFFF:
            raise FormatError(f"{self._path}: frame {fields[1]} in the slot of another")
        key = raw[16:44] + raw[48:128]
        if key not in self._cache:
            if len(self._cache) > 2 * self.slots:  # the size changes with every frame
                self._cache.clear()
            self._cache[key] = self._geometry(fields)
        return Frame(self._cache[key], fields, self, offset // 4)

    def _geometry(self, fields: tuple) -> _Geometry:
        """Arrays over the planes of a slot; everything is checked before it is used."""
        start, size, width, height, count = fields[2:7]
        name = fields[8].split(b"\0")[0].decode("ascii", "replace")
        if name not in _FORMATS:
            raise FormatError(f"{self._path}: unknown pixel format {name!r}")
        wanted = _FORMATS[name]
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
        return _Geometry(name, width, height, tuple(planes))


def _optional(nanoseconds: int) -> Optional[int]:
    return nanoseconds if nanoseconds >= 0 else None


def _packed(geometry: _Geometry) -> np.ndarray:
    """A new, C-contiguous array: the frame as one block; 4:2:0 as OpenCV lays it out."""
    planes = geometry.planes
    if len(planes) == 1:
        return np.array(planes[0], order="C")
    height, width = -(-geometry.height // 2) * 2, -(-geometry.width // 2) * 2
    block = np.empty((height * 3 // 2, width), np.uint8)
    for source, target in zip(planes, _planes_of(geometry, block)):
        np.copyto(target, source)
    block[geometry.height:height] = block[geometry.height - 1]
    block[:height, geometry.width:] = block[:height, geometry.width - 1:geometry.width]
    return block


def _planes_of(geometry: _Geometry, block: np.ndarray) -> Tuple[np.ndarray, ...]:
    """The planes inside what _packed() makes."""
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


def _yuv_to_rgb(planes: Tuple[np.ndarray, ...], colorimetry: str) -> np.ndarray:
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
    orientation   degrees by which the picture is to be turned clockwise to stand upright
    discont, corrupted, gap       what the stream said about this frame
    """

    def __init__(self, geometry: _Geometry, fields: tuple,
                 segment: Optional[_Segment] = None, word: int = 0) -> None:
        self._geometry, self._fields = geometry, fields
        self.format: str = geometry.format
        self.width: int = geometry.width
        self.height: int = geometry.height
        self.planes: Tuple[np.ndarray, ...] = geometry.planes
        self.number: int = fields[1]
        self.missed: int = 0
        self.discont, self.corrupted, self.gap = (bool(fields[7] & bit)
                                                  for bit in (1, 2, 4))
        self.pts: Optional[int] = _optional(fields[21])
        self.duration: Optional[int] = _optional(fields[22])
        self.running_time: Optional[int] = _optional(fields[23])
        self.capture_time: Optional[int] = _optional(fields[24])
        self.publish_time: int = fields[25]
        self.publish_utc: int = fields[26]
        self.framerate: Tuple[int, int] = fields[27:29]
        self.pixel_aspect_ratio: Tuple[int, int] = fields[29:31]
        self.colorimetry: str = fields[31].split(b"\0")[0].decode("ascii", "replace")
        self.orientation: int = fields[32]
        self._block: Optional[np.ndarray] = None
        self._segment, self._word = segment, word
        self._sequence = 2 * self.number & 0xFFFFFFFF

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
        _fence()
        return self._segment.words[self._word] == self._sequence

    def copy(self) -> "Frame":
        """This frame in memory of its own; raises Overwritten if it is gone already."""
        block = _packed(self._geometry)
        if not self.valid():
            raise Overwritten(f"frame {self.number} was overwritten while it was copied")
        planes = _planes_of(self._geometry, block)
        twin = Frame(self._geometry._replace(planes=planes), self._fields)
        twin.missed, twin._block = self.missed, block
        return twin

    @property
    def array(self) -> np.ndarray:
        """The pixels as one array; see the class. Of a view of NV12 or I420, a copy."""
        if len(self.planes) == 1:
            return self.planes[0]
        if self._block is None:
            self._block = _packed(self._geometry)
        return self._block

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> np.ndarray:
        array = self.array if dtype is None else self.array.astype(dtype, copy=False)
        return array.copy() if copy else array

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
            source, have = _yuv_to_rgb(self.planes, self.colorimetry), "RGB"
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


class _AsOpened(enum.Enum):
    """Default of an argument that may be None as well: what was said when opening."""

    AS_OPENED = 0


_AS_OPENED = _AsOpened.AS_OPENED
_S = TypeVar("_S", bound="_Source")


class _Source:
    """What Frames and LegacyFrames share: waiting, iterating, closing."""

    def __init__(self, name: str, timeout: Optional[float], copy: bool) -> None:
        self.name, self.timeout, self.copies = name, timeout, copy
        self.closed = False

    def _poll(self, copy: bool) -> Optional[Frame]:
        """The newest frame if it was not returned before. Does not wait."""
        raise NotImplementedError

    def _wait(self, seconds: float) -> None:
        """Return when something may have happened since the last _poll()."""
        raise NotImplementedError

    def _ended(self) -> bool:
        return False

    def read(self, timeout: Union[float, None, _AsOpened] = _AS_OPENED,
             copy: Optional[bool] = None) -> Optional[Frame]:
        """The newest frame that was not returned before, waiting for one if need be.

        timeout: seconds, None = for ever, 0 = do not wait; without it what was said when
        opening. copy: True for memory of its own, False for a view that the writer will
        reuse (see Frame.valid), None for what was said when opening. Returns None when
        the time is over, when the stream has ended and until_eos was asked for, or when
        closed.
        """
        copy = self.copies if copy is None else copy
        timeout = self.timeout if isinstance(timeout, _AsOpened) else timeout
        end = None if timeout is None else time.monotonic() + timeout
        while not self.closed:
            frame = self._poll(copy)
            if frame is not None:
                return frame
            left = _SLICE if end is None else end - time.monotonic()
            if left <= 0 or self._ended():
                break
            self._wait(min(left, _SLICE))
        return None

    def __iter__(self) -> Iterator[Frame]:
        """The newest frame each time, until `timeout` seconds bring none."""
        while (frame := self.read()) is not None:
            yield frame

    async def __aiter__(self) -> AsyncIterator[Frame]:
        """The same for asyncio: waits in a thread of the loop's executor."""
        loop = asyncio.get_running_loop()
        start = time.monotonic()
        while not self.closed:
            frame = self._poll(self.copies)
            if frame is not None:
                yield frame
                start = time.monotonic()
                continue
            left = _SLICE if self.timeout is None else (
                start + self.timeout - time.monotonic())
            if left <= 0 or self._ended():
                return
            await loop.run_in_executor(None, self._wait, min(left, _SLICE))

    def close(self) -> None:
        """Let go of the segment; frames that were handed out stay readable."""
        self.closed = True

    def __enter__(self: _S) -> _S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Frames(_Source):
    """The frames of one ring, newest first come; made by open(). For one thread."""

    def __init__(self, name: str, timeout: Optional[float], copy: bool,
                 until_eos: bool) -> None:
        super().__init__(name, timeout, copy)
        self._path = _path(name, ".ring")
        self._until_eos = until_eos
        self._last: Tuple[object, int] = (None, 0)  # writer and number of the last frame
        self._number = self._wake = 0
        self._look = 0.0  # when to look at the name and the lock again
        self._segment: Optional[_Segment] = None
        self._state = State.ABSENT
        self._attach()

    def _attach(self) -> bool:
        fresh = _Segment.attach(self._path)
        if fresh is not None:
            self._segment, self._number = fresh, 0
            self._look = time.monotonic() + _SLICE
        return fresh is not None

    @property
    def state(self) -> State:
        """What the writer is doing now, whether or not read() has followed it."""
        if self.closed:
            return State.ABSENT
        segment, state = self._segment, State.ABSENT
        if segment is not None:
            segment.check_size()
            state = State.ABSENT if segment.dead() else segment.state()
        if state in (State.RETIRED, State.STOPPED, State.ABSENT) and (
                segment is None or segment.replaced()):
            # Looked at and let go: the last frames of the old one are still read()'s.
            fresh = _Segment.attach(self._path)
            state = State.ABSENT if fresh is None else fresh.state()
        return state

    def _poll(self, copy: bool) -> Optional[Frame]:
        while self._segment is not None or self._attach():
            segment = self._segment
            assert segment is not None
            segment.check_size()
            # Before the look at `latest`, so that a frame or state after it changes
            # `wake`, and so that the last frame before the end of a stream is not lost.
            self._wake = segment.words[_WAKE]
            _fence()
            state = segment.state()
            _fence()
            frame = self._newest(segment, copy)
            if frame is not None:
                return frame
            if not self._moved_on(segment, state):
                break
        return None

    def _newest(self, segment: _Segment, copy: bool) -> Optional[Frame]:
        while segment.words[_LATEST] >> 8 != self._number:
            frame = segment.newest()
            if frame is None:
                break
            try:
                frame = frame.copy() if copy else frame
            except Overwritten:  # hence there is a newer one
                continue
            writer = (segment.pid, segment.writer_start)
            known, last = self._last
            frame.missed = max(0, frame.number - last - 1) if known == writer else 0
            self._last = (writer, frame.number)
            self._number = frame.number & 0xFFFFFF
            return frame
        return None

    def _moved_on(self, segment: _Segment, state: State) -> bool:
        """Go over to the segment that has the name now, if it is another."""
        gone = state in (State.RETIRED, State.STOPPED) or self._state == State.ABSENT
        self._state = state
        if gone or time.monotonic() >= self._look:
            self._look = time.monotonic() + _SLICE
            if segment.replaced():
                return self._attach()
            if segment.dead():
                self._state = State.ABSENT
        return False

    def _wait(self, seconds: float) -> None:
        segment = self._segment
        if segment is None or self._state in (State.RETIRED, State.STOPPED, State.ABSENT):
            time.sleep(min(seconds, _POLL))
        else:
            segment.wait(self._wake, seconds)

    def _ended(self) -> bool:
        gone = self._state == State.ABSENT and self._segment is not None
        return self._until_eos and (gone or self._state in (State.EOS, State.STOPPED))

    def close(self) -> None:
        super().close()
        self._segment = None


class LegacyFrames(_Source):
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
        self._path, self._format = _path(name), pixel_format
        self._file: Optional[_File] = None
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
            self._file = _open_file(self._path)
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
        fields = ((0, self._number) + (0,) * 19 + (-1,) * 4 + now + (0, 1, 1, 1, b"", 0))
        frame = Frame(_Geometry(self._format, width, height, (pixels,)), fields)
        frame.missed = step - 1
        return frame

    def _wait(self, seconds: float) -> None:
        if self._file is None:
            time.sleep(min(seconds, _POLL))
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


def open(name: str = DEFAULT_NAME, *, timeout: Optional[float] = None, copy: bool = True,
         until_eos: bool = False) -> Frames:
    """Read the ring NAME.ring, which need not exist yet.

    timeout: seconds without a frame after which a for loop ends and read() returns None,
    None = never. copy: hand out frames in memory of their own, or with False views: no
    copy is made, but the writer reuses the memory after a few frames, so ask
    Frame.valid() after the work. until_eos: loops end with the stream, or when the writer
    stops or dies; else they wait for the next one. Raises FormatError for a segment that
    holds something else, PermissionError for one that this user may not read, ValueError
    for an invalid name.

    A view is read-only memory, and OpenCV does not look before it draws: that is SIGSEGV,
    the end of the interpreter, for cv2.rectangle(view.array, ...) and all that works in
    place. Draw on what copy=True or Frame.copy() gives.
    """
    return Frames(name, timeout, copy, until_eos)


def open_legacy(name: str = DEFAULT_NAME, *, timeout: Optional[float] = None,
                pixel_format: str = "BGR", udp_port: int = 0) -> LegacyFrames:
    """Read the legacy segment NAME, always as copies.

    pixel_format: "BGR" as publish.py and shmnumpysink write it, or "RGB" of another writer.
    udp_port: wake on the writer's datagrams on this port of 127.0.0.1 (usually 12345)
    if no one else listens there; 0 = look at the counter each millisecond.
    """
    return LegacyFrames(name, timeout, pixel_format, udp_port)
