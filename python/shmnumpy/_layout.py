# SPDX-License-Identifier: MIT
"""What the bytes of a segment mean, as docs/shm-format.md describes them."""
from __future__ import annotations

import enum
import struct

# Header: indices of the 32-bit words that change, and the fields that do not.
LATEST, HEARTBEAT, STATE, WAKE = 0x80 // 4, 0x88, 0x98 // 4, 0x9C // 4
PUBLISHED = 0x90 // 4
HEADER = struct.Struct("<8sII QQ II QQQ 8xQ II Q")
SLOT = struct.Struct("<QQQQ IIII 16s QII QII QII QII qqqq QQ II II 24s I 4xQQ")
SLOT_BYTES = 256
MAGIC = b"SHMNPY2\0"
MAJOR = 2

# Format -> bytes of a pixel in each plane, and by how much the plane is subsampled.
FORMATS = {
    **dict.fromkeys(("RGB", "BGR"), ((3, 1),)),
    **dict.fromkeys(("RGBx", "BGRx", "RGBA", "BGRA"), ((4, 1),)),
    "GRAY8": ((1, 1),), "GRAY16_LE": ((2, 1),),
    "NV12": ((1, 1), (2, 2)), "I420": ((1, 1), (1, 2), (1, 2)),
}


class State(enum.IntEnum):
    """What the writer is doing."""

    INIT = 0          # started, no frame yet
    LIVE = 1
    EOS = 2           # the stream ended; another may follow
    RECONNECTING = 3  # the publisher is away, the last frame is stale
    RETIRED = 4       # replaced by a larger or newer segment
    STOPPED = 5       # the writer has left
    ABSENT = 6        # there is no writer: none came yet, or it died
