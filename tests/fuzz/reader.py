#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""reader.py SECONDS [SEED]: the Python reader against a writer that lies.

Each round makes a ring and overwrites fields of it, with values from anywhere, from the
edges of what is allowed, or of other fields: before it is opened, between two reads, and
from a thread during them. It makes the file shorter, or puts another in its place. A read
has to end at once, with a frame inside of the mapping, with nothing, or with an error of
the reader. A round that fails is told by its seed, and so is one that crashes.
"""
import contextlib
import faulthandler
import mmap
import os
import random
import struct
import sys
import threading
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "python"), os.path.join(HERE, "..", "..", "python")]
import shmnumpy  # noqa: E402
from ring_writer import HEARTBEAT, PLANES, RingWriter  # noqa: E402

LONGEST = 20  # seconds; no read waits, but the machine may be busy
EDGES = [0, 1, 2, 3, 7, 8, 60, 61, 63, 64, 65, 255, 256, 4095, 4096, 65535, 65536,
         0x20000, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 8,
         2**64 - 1]
NAME = "vdn-fuzz-reader-"
PIXELS = bytes(64 * 48 * 4)
byte_bounds = getattr(np, "byte_bounds", None) or np.lib.array_utils.byte_bounds


def a_field(rng, writer):
    """Offset and size of a field of the header or of a descriptor."""
    size = rng.choice((4, 8))
    if rng.random() < 0.4:
        return rng.randrange(8, 0xA0, size), size
    return writer.descriptor(rng.randrange(writer.slots)) + rng.randrange(0, 256, size), size


def damage(rng, writer):
    """Overwrites one field, seldom two bytes of any."""
    at, size = a_field(rng, writer)
    kind = rng.randrange(5)
    if kind == 0:
        value, size = rng.getrandbits(16), 2
    elif kind == 1:
        value = rng.getrandbits(64)
    elif kind == 2:
        value = rng.choice(EDGES) - rng.randrange(2) * rng.randrange(300)
    elif kind == 3:  # a neighbour of what is there
        value = int.from_bytes(writer.map[at:at + size], "little") + rng.randrange(-2, 3)
    else:
        value = struct.unpack_from("<Q", writer.map, a_field(rng, writer)[0])[0]
    writer.map[at:at + size] = (value & 2**64 - 1).to_bytes(8, "little")[:size]


def check(frame):
    """Every array is where it may be, and can be read to its last byte."""
    if frame._segment is not None:  # a view
        low, high = byte_bounds(frame._segment._whole)
        for plane in frame.planes:
            first, end = byte_bounds(plane)
            assert low <= first and end <= high, (low, first, end, high)
    assert frame.array.size
    for convert in (frame.rgb, frame.bgr, frame.gray, frame.valid):
        convert()
    with contextlib.suppress(shmnumpy.Overwritten):
        assert frame.copy().valid()


def look(frames, rng):
    begin = time.monotonic()
    frame = frames.read(timeout=0, copy=rng.random() < 0.5)
    frames.state
    assert time.monotonic() - begin < LONGEST, "it took too long"
    if frame is not None:
        check(frame)
    return frame is not None


def one_round(seed, name, count):
    rng = random.Random(seed)
    writers = [RingWriter(name, slots=rng.choice((2, 3, 6)))]

    def step():
        writer = writers[-1]
        kind = rng.randrange(12)
        if kind == 0:
            os.ftruncate(writer.fd, rng.randrange(writer.size) & rng.choice((-1, -4096)))
        elif kind == 1:
            writers.append(RingWriter(name, slots=2))
        elif kind < 6 and os.fstat(writer.fd).st_size == writer.size:
            writer.publish(PIXELS, rng.randrange(1, 65), rng.randrange(1, 49),
                           rng.choice(list(PLANES)), padding=rng.randrange(3))
        elif os.fstat(writer.fd).st_size == writer.size:
            damage(rng, writer)
            writer.words[HEARTBEAT // 8] = time.monotonic_ns() * rng.randrange(2)

    def meddle():
        """Damage, and never a shorter file: between check and use nobody can help it."""
        own, last = random.Random(seed + 1), writers[-1]
        while not done.is_set() and last is writers[-1]:
            damage(own, last)

    for _ in range(rng.randrange(4)):
        step()
    done, thread = threading.Event(), None
    with contextlib.suppress(shmnumpy.FormatError):
        with shmnumpy.open(name, until_eos=rng.random() < 0.5) as frames:
            if rng.random() < 0.2 and os.fstat(writers[-1].fd).st_size == writers[-1].size:
                thread = threading.Thread(target=meddle)
                thread.start()
            for _ in range(rng.randrange(1, 6)):
                count["frames"] += look(frames, rng)
                if thread is None:
                    step()
    done.set()
    if thread is not None:
        thread.join()
    for writer in writers:
        os.close(writer.fd)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(writers[-1].path)


def rounds(first, end, told):
    """The child: tells the seed of each round, and how many frames came so far."""
    name, seed, count = f"{NAME}{os.getpid()}", first, {"frames": 0}
    while seed == first or time.monotonic() < end:
        told[:16] = struct.pack("<QQ", seed, count["frames"])
        faulthandler.dump_traceback_later(3 * LONGEST, exit=True)
        one_round(seed, name, count)
        seed += 1
    told[:16] = struct.pack("<QQ", seed, count["frames"])


def main():
    end = time.monotonic() + float(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().getrandbits(32)
    told = mmap.mmap(-1, mmap.PAGESIZE)  # shared with the child
    faulthandler.enable()
    child = os.fork()
    if child == 0:
        rounds(first, end, told)
        return 0
    status = os.waitpid(child, 0)[1]
    seed, frames = struct.unpack_from("<QQ", told)
    if status:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"/dev/shm/{NAME}{child}.ring")
        print(f"reader.py: seed {seed} failed, status {status:#x}; again with: "
              f"reader.py 0 {seed}")
        return 1
    print(f"reader.py: {seed - first} rounds from seed {first}, {frames} frames: no crash, "
          "no hang, nothing outside of the mapping")
    return 0


if __name__ == "__main__":
    sys.exit(main())
