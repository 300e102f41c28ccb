#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts torn frames: every frame is of one value, so one with two values is torn.

Readers are killed at random moments and replaced. For the ring, 0 undetected torn frames
are right; the legacy reader's share stands beside it. The long run:
py-torn.py --seconds 30 --reads 100000
"""
import argparse
import mmap
import multiprocessing
import os
import random
import signal
import struct
import sys
import time

from py_support import PublishedReader, Writer

import shmnumpy

ROW = struct.Struct("=QQQ")  # good, detected and undetected torn frames


class Counters:
    """One row per reader in shared memory: what a killed one counted is not lost."""

    def __init__(self, rows):
        self.map, self.rows = mmap.mmap(-1, rows * ROW.size), rows

    def add(self, row, good=0, detected=0, torn=0):
        old = ROW.unpack_from(self.map, row * ROW.size)
        ROW.pack_into(self.map, row * ROW.size, old[0] + good, old[1] + detected,
                      old[2] + torn)

    def total(self):
        rows = [ROW.unpack_from(self.map, row * ROW.size) for row in range(self.rows)]
        return [sum(column) for column in zip(*rows)]


def is_whole(array):
    return array.min() == array.max()


def read_ring(name, copy, counters, row):
    """Read until killed. For copies the detected ones are retried inside read()."""
    with shmnumpy.open(name, copy=copy) as frames:
        for frame in frames:
            whole = is_whole(frame.array)
            if not frame.valid():
                counters.add(row, detected=1)
            else:
                counters.add(row, good=whole, torn=not whole)


def read_legacy(name, _, counters, row):
    reader = PublishedReader(name)
    while True:
        array = reader.read()
        if array is not None:
            whole = is_whole(array)
            counters.add(row, good=whole, torn=not whole)


def run(args, fps, readers, target, copy):
    """Totals of one combination."""
    counters, legacy = Counters(readers), target is read_legacy
    fork = multiprocessing.get_context("fork")
    with Writer(args.width, args.height, fps, "always" if legacy else "never") as writer:
        def start(row):
            process = fork.Process(target=target, daemon=True,
                                   args=(writer.name, copy, counters, row))
            process.start()
            return process

        processes = [start(row) for row in range(readers)]
        end, kills = time.monotonic() + args.seconds, 0
        while time.monotonic() < end or sum(counters.total()[::2]) < args.reads:
            time.sleep(random.uniform(0.05, 0.3))
            row = random.randrange(readers)
            os.kill(processes[row].pid, signal.SIGKILL)
            processes[row].join()
            processes[row] = start(row)
            kills += 1
        for process in processes:
            process.kill()
            process.join()
    return counters.total() + [kills]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--seconds", type=float, default=1, help="per line, at least")
    parser.add_argument("--reads", type=int, default=0, help="per line, at least")
    parser.add_argument("--fps", type=float, nargs="*", default=[60, 240, 1000, 0],
                        help="0 = unthrottled")
    parser.add_argument("--readers", type=int, nargs="*", default=[1, 4, 16])
    args = parser.parse_args()
    print(f"{args.width}x{args.height}\n   fps readers way         good  detected  "
          "undetected  readers killed")
    ways = [("copy", read_ring, True), ("view", read_ring, False),
            ("legacy", read_legacy, True)]
    reads = undetected = 0
    for fps in args.fps:
        for readers in args.readers:
            for way, target, copy in ways:
                if way == "legacy" and readers != args.readers[0]:
                    continue
                good, detected, torn, kills = run(args, fps, readers, target, copy)
                rate = f" ({100 * torn / max(1, good + torn):.1f} %)" if torn else ""
                print(f"{fps or 'max':>6} {readers:>7} {way:6} {good:9} {detected:9} "
                      f"{torn:11}{rate}  {kills}", flush=True)
                if target is read_ring:
                    reads, undetected = reads + good + torn, undetected + torn
    print(f"ring: {undetected} undetected torn frames in {reads} reads")
    return 0 if reads and not undetected else 1


if __name__ == "__main__":
    sys.exit(main())
