#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""From publishing a frame to having it in asyncio, against a blocking reader, and what 50
readers in one process cost.

Ways to wait, in turns: read() that blocks; `await read_async()`; read() in a thread of its
own for each reader, as run_in_executor() does. One reader takes copies of 1080p pictures, as
the default is, then views of small ones, where nothing but waiting is left; 50 take views.
"""
import argparse
import asyncio
import concurrent.futures
import resource
import statistics
import sys
import time

from py_support import Writer, machine

import shmnumpy


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def note(frame, figures):
    figures.append((time.monotonic_ns() - frame.publish_time) / 1e3)


def blocking(name, count, frames, copy):
    """Latencies in us of one reader that blocks."""
    assert count == 1
    figures = []
    with shmnumpy.open(name, copy=copy, timeout=20) as reader:
        for _ in range(frames):
            note(reader.read(), figures)
    return figures


async def awaited(name, count, frames, copy):
    figures = []

    async def one():
        with shmnumpy.open(name, copy=copy, timeout=20) as reader:
            for _ in range(frames):
                note(await reader.read_async(), figures)

    await asyncio.gather(*(one() for _ in range(count)))
    return figures


async def in_threads(name, count, frames, copy):
    figures, loop = [], asyncio.get_running_loop()

    async def one(pool):
        with shmnumpy.open(name, copy=copy, timeout=20) as reader:
            for _ in range(frames):
                note(await loop.run_in_executor(pool, reader.read), figures)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        await asyncio.gather(*(one(pool) for _ in range(count)))
    return figures


WAYS = {"blocking": blocking,
        "read_async()": lambda *args: asyncio.run(awaited(*args)),
        "a thread each": lambda *args: asyncio.run(in_threads(*args))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=90, help="per way and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--readers", type=int, default=50)
    args = parser.parse_args()
    cases = [(1, way, copy) for copy in (True, False) for way in WAYS]
    cases += [(args.readers, way, False) for way in list(WAYS)[1:]]
    figures = {case: [] for case in cases}
    spent = dict.fromkeys(cases, 0.0)
    for _ in range(args.rounds):
        for case in cases:
            count, way, copy = case
            with Writer(*((1920, 1080) if copy else (320, 180)), 60) as writer:
                WAYS[way](writer.name, count, 10, copy)
                begun = cpu()
                figures[case] += WAYS[way](writer.name, count, args.frames, copy)
                spent[case] += cpu() - begun
    print(f"publish to frame, 60 frames/s; {machine()}")
    for case in cases:
        count, way, copy = case
        values = sorted(figures[case])
        print(f"  {count:3} x {way:14} {'copy' if copy else 'view'}   "
              f"median {statistics.median(values):6.0f} us   "
              f"p90 {values[len(values) * 9 // 10]:6.0f} us   CPU "
              f"{spent[case] / (args.rounds * args.frames) * 1e6:6.0f} us for each frame "
              f"of the writer")
    ratios = [statistics.median(figures[1, "read_async()", copy]) /
              statistics.median(figures[1, "blocking", copy]) for copy in (True, False)]
    print("  read_async() / blocking: copies {:.2f}, views {:.2f}".format(*ratios))
    return 0 if ratios[0] <= 1.5 else 1


if __name__ == "__main__":
    sys.exit(main())
