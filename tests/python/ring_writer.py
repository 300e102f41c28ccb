# SPDX-License-Identifier: LGPL-2.1-or-later
"""The other end of the ring in plain Python, for tests that need a writer which lies,
stops half way or dies. Tests of the ordinary case use the element.

As a program it publishes numbered frames until the step it was told to die at:
ring_writer.py NAME STEP FRAMES
"""
import ctypes
import fcntl
import mmap
import os
import signal
import struct
import sys
import time

import numpy as np

PACKAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python")
sys.path.insert(0, PACKAGES)

from shmnumpy._order import fence, futex_number  # noqa: E402

HEADER = struct.Struct("<8sII QQ II QQQ II Q II QQ")
STEPS = ("acquired", "half", "pixels", "described", "stable", "latest", "woken")
STATE, WAKE, LATEST, HEARTBEAT, TOUCHED = 0x98, 0x9C, 0x80, 0x88, 0x1B0
LIVE, EOS, RECONNECTING, RETIRED, STOPPED = 1, 2, 3, 4, 5
PLANES = {"RGB": [(3, 1)], "BGR": [(3, 1)], "RGBx": [(4, 1)], "BGRx": [(4, 1)],
          "RGBA": [(4, 1)], "BGRA": [(4, 1)], "GRAY8": [(1, 1)], "GRAY16_LE": [(2, 1)],
          "NV12": [(1, 1), (2, 2)], "I420": [(1, 1), (1, 2), (1, 2)]}


class RingWriter:
    """One segment under its name, by the rules of docs/shm-format.md."""

    def __init__(self, name, slots=6, stride=0x10000, number=0, predecessor=None,
                 minor=3):
        self.name, self.slots, self.stride, self.number = name, slots, stride, number
        self.tells = minor >= 3
        self.path = f"/dev/shm/{name}.ring"
        self.size = 0x20000 + slots * stride
        temporary = self.path + f".{os.getpid()}"
        self.fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.posix_fallocate(self.fd, 0, self.size)
        self.map = mmap.mmap(self.fd, self.size)
        self.words = memoryview(self.map)[:0x10000].cast("Q")
        self.halves = memoryview(self.map)[:0x10000].cast("I")
        start = predecessor.start if predecessor else time.monotonic_ns()
        self.start = start
        self.map[:0x68] = HEADER.pack(
            b"SHMNPY2\0", 0x20000 | minor, 4096, time.time_ns(), self.size, slots, 256,
            0x1000, 0x20000, stride, 0, 64, 0x10000, os.getpid(), 0, start,
            time.time_ns())
        self.words[HEARTBEAT // 8] = time.monotonic_ns()
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        os.rename(temporary, self.path)
        if predecessor:
            predecessor.set_state(RETIRED)

    def set_state(self, state):
        self.halves[STATE // 4] = state
        self.wake()

    def wake(self):
        fence()
        self.halves[WAKE // 4] = (self.halves[WAKE // 4] + 1) & 0xFFFFFFFF
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.map)) + WAKE
        ctypes.CDLL(None).syscall(ctypes.c_long(futex_number()), ctypes.c_void_p(address), 1,
                                  0x7FFFFFFF, None, None, 0)
        if self.tells:
            os.pwrite(self.fd, b"\0", TOUCHED)

    def layout(self, width, height, name, padding=0):
        """Planes as (offset, stride, rows, columns in bytes) and the size of it all."""
        planes, offset = [], 0
        for pixel, sub in PLANES[name]:
            row, rows = -(-width // sub) * pixel, -(-height // sub)
            planes.append((offset, row + padding, rows, row))
            offset += (row + padding) * rows
        return planes, offset

    def descriptor(self, slot):
        return 0x1000 + slot * 256

    def describe(self, slot, width, height, name, padding=0, pts=-1, flags=0,
                 colorimetry=b"", orientation=0):
        planes, size = self.layout(width, height, name, padding)
        flat = [value for plane in planes for value in plane[:3]]
        flat += [0] * (12 - len(flat))
        at = self.descriptor(slot)
        struct.pack_into("<QQQ IIII 16s QIIQIIQIIQII qqqq QQ IIII 24s I", self.map, at + 8,
                         self.number, 0x20000 + slot * self.stride, size, width, height,
                         len(planes), flags, name.encode(), *flat, pts, -1, pts, -1,
                         time.monotonic_ns(), time.time_ns(), 30, 1, 1, 1, colorimetry,
                         orientation)

    def publish(self, data, width, height, name="RGB", step=None, **more):
        """Publish tightly packed planes; stop after `step` if one is named."""
        for done in self.steps(data, width, height, name, **more):
            if done == step:
                return

    def steps(self, data, width, height, name="RGB", padding=0, **more):
        slot = self.number % self.slots
        sequence = self.descriptor(slot) // 8
        self.number += 1
        self.words[sequence] |= 1
        fence()
        yield "acquired"
        data, at = np.frombuffer(data, np.uint8), 0
        base = 0x20000 + slot * self.stride
        for offset, stride, rows, row in self.layout(width, height, name, padding)[0]:
            target = np.ndarray((rows, row), np.uint8, self.map, base + offset,
                                (stride, 1))
            source = data[at:at + rows * row].reshape(rows, row)
            target[:rows // 2] = source[:rows // 2]
            if at == 0:
                yield "half"
            target[rows // 2:] = source[rows // 2:]
            at += rows * row
        yield "pixels"
        self.describe(slot, width, height, name, padding, **more)
        yield "described"
        fence()
        self.words[sequence] = 2 * self.number
        yield "stable"
        self.words[HEARTBEAT // 8] = time.monotonic_ns()
        self.halves[STATE // 4] = LIVE
        fence()
        self.words[LATEST // 8] = self.number << 8 | (slot + 1)
        yield "latest"
        self.wake()
        yield "woken"

    def close(self):
        """Stop as a writer should."""
        self.set_state(STOPPED)
        if os.path.exists(self.path):
            os.unlink(self.path)
        os.close(self.fd)


def main():
    name, last_step, frames = sys.argv[1], sys.argv[2], int(sys.argv[3])
    writer = RingWriter(name)
    for number in range(1, frames + 1):
        pixels = bytes([number % 256]) * (64 * 48 * 3)
        for step in writer.steps(pixels, 64, 48):
            if number == frames and step == last_step:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
