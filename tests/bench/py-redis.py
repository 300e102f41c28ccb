#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What 1, 2 and 4 workers of examples/redis_worker.py make of a 720p stream at 30 frames a
second: frames done and dropped, and from publishing a frame to its result in Redis.

Two functions: one that waits 50 ms for each frame, as for a model on another device, and
OpenCV's search for people in 480x270, which keeps a core busy.
"""
import argparse
import json
import os
import re
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from py_support import ROOT, machine, wait_for

try:
    import redis
except ImportError as missing:
    print(f"skip: {missing}")
    sys.exit(77)

EXAMPLES = os.path.join(ROOT, "examples")
QUEUE = 10


WORK = """
import time
import cv2
cv2.setNumThreads(1)
hog = cv2.HOGDescriptor()
hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
def wait(picture):
    time.sleep(0.05)
def people(picture):
    small = cv2.resize(picture, (480, 270))
    return len(hog.detectMultiScale(small, winStride=(8, 8), scale=1.1)[0])
"""


def start(folder, script, *args):
    return subprocess.Popen([sys.executable, os.path.join(EXAMPLES, script), *args],
                            stdout=subprocess.PIPE, text=True, cwd=folder)


def end(process):
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)[0]


def measure(client, folder, ring, work, count, seconds):
    """One row: that many workers for so long."""
    client.flushall()
    place = "--redis", f"unix://{folder}/redis.sock"
    workers = [start(folder, "redis_worker.py", *place, "--keep", "100000", "--work",
                     f"work:{work}") for _ in range(count)]
    for worker in workers:
        worker.stdout.readline()  # it is ready
    sender = start(folder, "redis_stream.py", *place, "--name", ring, "--queue", str(QUEUE))
    client.xread({"shmnumpy:results": "0"}, block=30000)
    time.sleep(seconds)
    sent, dropped = map(int, re.findall(r"(\d+) (?:frames sent|dropped)", end(sender)))
    for worker in workers:
        end(worker)
    ages = []
    for ident, fields in client.xrange("shmnumpy:results"):
        told = json.loads(fields[b"json"])
        assert "error" not in told, told
        ages.append(int(ident.split(b"-")[0]) - told["captured"] / 1e6)
    ages.sort()
    print(f"| {work} | {count} | {len(ages) / seconds:.1f} | {100 * dropped / sent:.0f} | "
          f"{statistics.median(ages):.0f} | {ages[int(len(ages) * .95)]:.0f} | "
          f"{os.getloadavg()[0]:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="for each row")
    args = parser.parse_args()
    print(machine())
    print("| function | workers | frames/s | dropped, % | p50, ms | p95, ms | load |")
    ring = f"bench-{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "redis.sock")
        with open(os.path.join(folder, "work.py"), "w", encoding="ascii") as file:
            file.write(WORK)
        server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path,
                                   "--save", "", "--dir", folder], stdout=subprocess.DEVNULL)
        source = subprocess.Popen(
            ["gst-launch-1.0", "-q", "videotestsrc", "is-live=true", "!",
             "video/x-raw,format=BGR,width=1280,height=720,framerate=30/1", "!",
             "shmnumpysink", f"shm-name={ring}", "legacy=never"])
        try:
            wait_for(path, lambda: os.path.exists(path))
            client = redis.Redis(unix_socket_path=path)
            for work in ("wait", "people"):
                for count in (1, 2, 4):
                    measure(client, folder, ring, work, count, args.seconds)
        finally:
            source.send_signal(signal.SIGINT)
            source.wait()
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
