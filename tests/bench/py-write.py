#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What shmnumpy.create() costs, and torn frames of writers that are killed.

write() of a frame against a memcpy of the same bytes into shared memory, which has small
pages where arrays of NumPy may have large ones; slot() without a stroke; and what shmnumpysrc gets of a writer in Python that is killed at random
moments and replaced: each frame is of one value, so that one with two is torn.
The long run: py-write.py --reads 100000
"""
import argparse
import mmap
import os
import random
import secrets
import signal
import statistics
import subprocess
import sys
import threading
import time

import numpy as np

from py_support import BUILD, machine

import shmnumpy

LIMIT = 1.3  # of write() to memcpy

WRITER = """
import sys, numpy as np, shmnumpy
out, number = shmnumpy.create(sys.argv[1], "GRAY8"), 0
while True:
    number += 1
    if number % 2:
        out.write(np.full((360, 640), number % 251, np.uint8))
    else:
        with out.slot(640, 360) as memory:
            memory[...] = number % 251
"""


def microseconds(work, rounds):
    """Of the CPU for one call: what others do on this machine is not counted."""
    start = time.thread_time()
    for _ in range(rounds):
        work()
    return (time.thread_time() - start) / rounds * 1e6


def cost(width, height, turns):
    """Medians of memcpy, write() and slot(), in turns, as the machine is shared."""
    name = f"bench-{secrets.token_hex(6)}"
    picture = np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)
    # As many as the ring has slots, or they would stay in the cache.
    memory = mmap.mmap(-1, 6 * picture.nbytes)
    copies = np.frombuffer(memory, np.uint8).reshape(6, *picture.shape)
    with shmnumpy.create(name) as out:
        state = {"turn": 0}

        def memcpy():
            state["turn"] += 1
            np.copyto(copies[state["turn"] % 6], picture)

        def slot():
            with out.slot(width, height):
                pass

        ways = [memcpy, lambda: out.write(picture), slot]
        for way in ways:  # touch all memory once
            microseconds(way, 12)
        times = [[microseconds(way, 20) for way in ways] for _ in range(turns)]
    return [statistics.median(column) for column in zip(*times)]


def start_writer(name):
    return subprocess.Popen([sys.executable, "-c", WRITER, name],
                            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


def torn(reads):
    """(frames that shmnumpysrc gave, torn ones among them, writers killed)."""
    os.environ["GST_PLUGIN_PATH"] = os.path.join(BUILD, "gst")
    import gi
    gi.require_version("Gst", "1.0")
    from gi.repository import Gst
    Gst.init(None)
    name, counts, done = f"bench-{secrets.token_hex(6)}", [0, 0], threading.Event()
    pipeline = Gst.parse_launch(f"shmnumpysrc shm-name={name} ! fakesink name=sink")

    def look(_pad, info):
        good, mapped = info.get_buffer().map(Gst.MapFlags.READ)
        pixels = np.frombuffer(mapped.data, np.uint8)
        counts[0] += 1
        counts[1] += not good or pixels.min() != pixels.max()
        info.get_buffer().unmap(mapped)
        if counts[0] >= reads:
            done.set()
        return Gst.PadProbeReturn.OK

    pipeline.get_by_name("sink").get_static_pad("sink").add_probe(
        Gst.PadProbeType.BUFFER, look)
    pipeline.set_state(Gst.State.PLAYING)
    kills, writer = 0, start_writer(name)
    while not done.wait(random.uniform(0.3, 1.5)):
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        kills += 1
        writer = start_writer(name)
    writer.kill()
    writer.wait()
    pipeline.set_state(Gst.State.NULL)
    shmnumpy.create(name).close()  # takes over what the last one left, and removes it
    return counts[0], counts[1], kills


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--reads", type=int, default=2000)
    args = parser.parse_args()
    print(machine())
    worst = 0
    for width, height in ((1280, 720), (1920, 1080)):
        memcpy, write, slot = cost(width, height, args.turns)
        print(f"{width}x{height}: memcpy {memcpy:.0f} us, write() {write:.0f} us "
              f"({write / memcpy:.2f} x), slot() {slot:.1f} us", flush=True)
        worst = max(worst, write / memcpy)
    frames, bad, kills = torn(args.reads)
    print(f"shmnumpysrc: {bad} torn frames of {frames}, {kills} writers killed")
    return 0 if worst <= LIMIT and not bad else 1


if __name__ == "__main__":
    sys.exit(main())
