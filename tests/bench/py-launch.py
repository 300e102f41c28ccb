#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long from shmnumpy.launch() to the first ndarray, against gst-launch-1.0 by itself.

The same pipeline in turns, a test picture and a stream on loopback: from starting the
process to the time at which the writer published its first frame, and from the call to
having read an array.
"""
import argparse
import contextlib
import os
import secrets
import signal
import statistics
import subprocess
import sys
import time

from py_support import ROOT, machine

import shmnumpy

sys.path.insert(0, os.path.join(ROOT, "tests", "python"))
from loopback import Publisher  # noqa: E402


def by_hand(source):
    """Seconds until gst-launch-1.0 has published a frame."""
    name = f"bench-{secrets.token_hex(6)}"
    command = ["gst-launch-1.0", "-q", *source.split(), "!", "shmnumpysink",
               f"shm-name={name}", "legacy=never"]
    with shmnumpy.open(name, timeout=30) as frames:
        begun = time.monotonic_ns()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            first = next(iter(frames))
            process.send_signal(signal.SIGINT)
    return (first.publish_time - begun) / 1e9


def by_call(arguments):
    """Seconds until there is an array."""
    begun = time.monotonic()
    with shmnumpy.launch(**arguments) as frames:
        assert frames.read().array.any()
        return time.monotonic() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    picture = "videotestsrc is-live=true ! video/x-raw,width=1280,height=720"
    print(machine())
    added = {}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Publisher(["abc"], audio=False)).server
        place = {"server": server, "signaling": "hosted"}
        stream = "vdoninjasrc stream-id=abc " + " ".join(
            f"{key}={value}" for key, value in place.items())
        for what, source, arguments in (
                ("test picture", picture, {"pipeline": picture}),
                ("stream", stream, {"stream": "abc", **place})):
            hand, call = [], []
            for _ in range(args.rounds):
                hand.append(by_hand(source))
                call.append(by_call(arguments))
            added[what] = statistics.median(call) - statistics.median(hand)
            print(f"  {what:12}  gst-launch-1.0 {statistics.median(hand) * 1e3:5.0f} ms "
                  f"({min(hand) * 1e3:.0f} to {max(hand) * 1e3:.0f})   "
                  f"launch() {statistics.median(call) * 1e3:5.0f} ms "
                  f"({min(call) * 1e3:.0f} to {max(call) * 1e3:.0f})   "
                  f"added {added[what] * 1e3:+.0f} ms")
    # With the stream, each process makes a key for DTLS by chance sooner or later.
    return 0 if added["test picture"] <= 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())
