# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the benchmarks share: a writer, readers of both segments, options and what a
figure is worth."""
import argparse
import mmap
import os
import secrets
import socket
import subprocess
import sys
import time

import numpy as np

ROOT = os.environ.get("SOURCE_ROOT") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.environ.get("BUILD_ROOT") or os.path.join(ROOT, "build")
sys.path.insert(0, os.path.join(ROOT, "python"))

LEGACY_BYTES = 6220805


class Writer:
    """`py-writer` in a process of its own, until the with-block ends."""

    def __init__(self, width, height, fps, legacy="never", port=0, stamped=False):
        self.name = f"bench-{secrets.token_hex(6)}"
        environment = {**os.environ, "GST_PLUGIN_PATH": os.path.join(BUILD, "gst")}
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "tests", "bench", "py-writer"), self.name,
             str(-width if stamped else width), str(height), str(fps), "0", legacy,
             str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.written = int(self.process.communicate(timeout=30)[0])


def wait_for(what, ready, seconds=60):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"waited in vain for {what}, {seconds} s")
        time.sleep(0.01)


def await_segment(name, seconds=20):
    """Until the segment is there; its writer makes it when it starts."""
    path = f"/dev/shm/{name}"
    wait_for(path, lambda: os.path.exists(path), seconds)


class PublishedReader:
    """The way of the published readers: copy all of the segment on every wake."""

    def __init__(self, name, port=0):
        self.socket = None
        if port:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind(("127.0.0.1", port))
            self.socket.settimeout(20)
        await_segment(name)
        with open(f"/dev/shm/{name}", "rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.all = np.frombuffer(self.map, np.uint8)
        self.counter = -1

    def read(self):
        """The newest frame, waited for by datagram if there is a port; may be torn."""
        if self.socket:
            self.socket.recv(1024)
        data = self.all.copy()
        width, height = (int(data[i]) * 255 + int(data[i + 1]) for i in (0, 2))
        if not width or data[4] == self.counter:
            return None
        self.counter = data[4]
        return data[5:5 + width * height * 3].reshape(height, width, 3)


def machine():
    """Without it no figure can be judged."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def stream_options(description):
    """A parser with the options of the stream that is published."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["1280x720", "1920x1080"])
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--codec", choices=["h264", "openh264"], default="h264")
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument("--bitrate", type=int, default=4000, help="kbit/s")
    parser.add_argument("--pattern", default="smpte",
                        help="of videotestsrc: bars are the easiest to decode")
    return parser


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
