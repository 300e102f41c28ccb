# SPDX-License-Identifier: MIT
"""Video frames in shared memory as NumPy arrays: the reading end of shmnumpysink, and the
writing end of shmnumpysrc.

    import shmnumpy
    with shmnumpy.open("psm_raspininja_streamid") as frames:
        for frame in frames:                    # the newest frame each time
            print(frame.number, frame.format, frame.array.shape, frame.pts)

This folder needs NumPy and nothing else: docs/install.md says how to install it, or copy
it next to your program. A reader never writes, locks nothing for longer than a
probe, never unlinks a segment, and any number of readers may come, go and crash without
the pipeline noticing. docs/shm-format.md describes the bytes.

Times are nanoseconds (int), or None where the stream has none. Shapes are (rows, columns)
or (rows, columns, channels), uint8 unless said otherwise.
"""
from __future__ import annotations

from typing import Optional, Tuple

from ._capture import Capture
from ._errors import FormatError, LaunchError, Overwritten
from ._frame import Frame
from ._launch import LaunchedFrames, launch
from ._layout import State
from ._legacy import LegacyFrames
from ._ring import Frames
from ._writer import Writer

__all__ = ["open", "open_legacy", "launch", "create", "Capture", "Frames",
           "LaunchedFrames", "LegacyFrames", "Writer", "Frame", "State", "FormatError",
           "LaunchError", "Overwritten", "DEFAULT_NAME"]
__version__ = "0.1.0"

DEFAULT_NAME = "psm_raspininja_streamid"


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


def create(name: str, format: str = "RGB", *, framerate: Tuple[int, int] = (0, 1),
           mode: int = 0o600, slots: int = 0) -> Writer:
    """Write frames to the ring NAME.ring, for shmnumpysrc and any number of readers.

        with shmnumpy.create("result", "BGR") as out:
            for frame in shmnumpy.open("camera"):
                out.write(work(frame.bgr()), like=frame)

    format: GStreamer's name of what write() is given, as frames have it. framerate: frames
    a second as (numerator, denominator), (0, 1) = variable; frames with `like` have that
    of the other. mode: permissions, 0o660 = the group may read, too. slots: frames in the
    ring, 0 = 6, or 4 for frames over 16 MiB. Raises OSError with errno EBUSY while another
    writer has the name, ENOSPC when /dev/shm is full, PermissionError for a name of another
    user, ValueError for an invalid name, an unknown format and a framerate or a mode that
    is none, ImportError if the library that it needs is not installed.
    """
    return Writer(name, format, framerate, mode, slots)
