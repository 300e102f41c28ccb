#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long from pushing a frame into the sink to a usable ndarray in another process.

The ring (view and copy) and the legacy way (datagram, copy of the segment), taken in
turns in one run; the time is written into the first pixels just before the push.
"""
import argparse
import statistics
import sys
import time

from py_support import PublishedReader, Writer, free_port

import shmnumpy


def stamp(array):
    """The time in the first 8 bytes, ns."""
    return int.from_bytes(array.reshape(-1)[:8].tobytes(), sys.byteorder)


def ring(args, copy):
    """Latencies in us of frames read from the ring."""
    figures = []
    with Writer(args.width, args.height, args.fps, "never", 0, True) as writer, \
            shmnumpy.open(writer.name, copy=copy, timeout=20) as frames:
        for frame in frames:
            array = frame.array
            done = time.monotonic_ns()
            pushed = stamp(array[0])
            if frame.valid():
                figures.append((done - pushed) / 1e3)
            if len(figures) == args.frames:
                return figures
    raise SystemExit("no frames came")


def legacy(args):
    """Latencies in us of frames read from the legacy segment."""
    figures, port = [], free_port()
    with Writer(args.width, args.height, args.fps, "always", port, True) as writer:
        reader = PublishedReader(writer.name, port)
        while len(figures) < args.frames:
            array = reader.read()
            done = time.monotonic_ns()
            if array is not None:
                # BGR there: the bytes of each pixel are the other way round.
                figures.append((done - stamp(array[0, :3, ::-1])) / 1e3)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--fps", type=float, default=60)
    parser.add_argument("--frames", type=int, default=90, help="per way and round")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    ways = {"legacy UDP, copy": lambda: legacy(args),
            "ring, view": lambda: ring(args, False),
            "ring, copy": lambda: ring(args, True)}
    figures = {way: [] for way in ways}
    for _ in range(args.rounds):
        for way, run in ways.items():
            figures[way] += run()[10:]
    print(f"{args.width}x{args.height} at {args.fps:g} frames/s, push to ndarray, us")
    base = statistics.median(figures["legacy UDP, copy"])
    for way, values in figures.items():
        median = statistics.median(values)
        p90 = sorted(values)[len(values) * 9 // 10]
        print(f"  {way:18} median {median:7.0f}   p90 {p90:7.0f}   "
              f"1/{base / median:.1f} of legacy   ({len(values)} frames)")
    return 0 if statistics.median(figures["ring, view"]) <= base / 5 else 1


if __name__ == "__main__":
    sys.exit(main())
