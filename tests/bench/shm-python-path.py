#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPU time per frame of a sink that is written in Python, beside shmnumpysink, in one run.

The body of new_sample() in Raspberry.Ninja's publish.py --framebuffer, and appsink merely
pulled from, against the figures that shm-cost (first argument) prints.
"""
import os
import socket
import statistics
import subprocess
import sys
import time

import gi
import numpy as np

gi.require_version("Gst", "1.0")
from gi.repository import Gst

FRAMES = 200


class PublishPy:
    """The statements of publish.py, in its order."""

    def __init__(self):
        self.memory = bytearray(1920 * 1080 * 3 + 5)
        self.counter = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.output = open(os.devnull, "w")

    def __call__(self, sample):
        buffer = sample.get_buffer()
        caps = sample.get_caps()
        height = int(caps.get_structure(0).get_int("height").value)
        width = int(caps.get_structure(0).get_int("width").value)
        frame_data = buffer.extract_dup(0, buffer.get_size())
        pixels = np.frombuffer(frame_data, dtype=np.uint8).reshape(height, width, 3)
        print(np.shape(pixels), pixels[0, 0, :], file=self.output)
        frame = np.ndarray(1080 * 1920 * 3 + 5, dtype=np.uint8, buffer=self.memory)
        frame[5:5 + width * height * 3] = pixels.flatten(order="K")
        frame[0] = width // 255
        frame[1] = width % 255
        frame[2] = height // 255
        frame[3] = height % 255
        frame[4] = self.counter % 255
        self.counter += 1
        self.socket.sendto(b"update", ("127.0.0.1", 12345))


def map_only(sample):
    buffer = sample.get_buffer()
    done, info = buffer.map(Gst.MapFlags.READ)
    if done:
        np.frombuffer(info.data, dtype=np.uint8)
        buffer.unmap(info)


def median_us(width, height, body):
    line = (f"videotestsrc num-buffers={FRAMES} pattern=black ! video/x-raw,format=BGR,"
            f"width={width},height={height} ! appsink name=sink sync=false max-buffers=2")
    pipeline = Gst.parse_launch(line)
    sink = pipeline.get_by_name("sink")
    pipeline.set_state(Gst.State.PLAYING)
    times = []
    while True:
        begin = time.thread_time_ns()
        sample = sink.emit("try-pull-sample", 0)
        if sample is not None:
            body(sample)
            times.append(time.thread_time_ns() - begin)
        elif sink.get_property("eos"):
            break
    pipeline.set_state(Gst.State.NULL)
    return statistics.median(times) / 1000


def main():
    Gst.init(None)
    report = subprocess.run([sys.argv[1], "200"], check=True, stdout=subprocess.PIPE,
                            text=True).stdout
    sys.stdout.write(report)
    in_place = {}
    for line in report.splitlines():
        words = line.split()
        if line.startswith("sink in place ") and words[-1] == "us":
            in_place[words[3]] = float(words[-2])
    for name, width, height in (("720p", 1280, 720), ("1080p", 1920, 1080)):
        pulled = median_us(width, height, map_only)
        published = median_us(width, height, PublishPy())
        print(f"{'appsink from Python, map ' + name:34} {pulled:10.1f} us")
        print(f"{'publish.py new_sample ' + name:34} {published:10.1f} us")
        print(f"{'publish.py / sink in place ' + name:34} "
              f"{published / in_place[name]:10.1f}    (at least 100)")


if __name__ == "__main__":
    main()
