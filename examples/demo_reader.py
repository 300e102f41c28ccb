#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What demo.sh runs on the frames: prints shape, frame rate and latency, and shows them.

python3 examples/demo_reader.py --name test

With --stamps it reads the clock that the test publisher paints into its pictures, for the
time from there to the array. Pictures from elsewhere carry no clock.
"""
import os
import signal
import statistics
import sys
import time

import mjpeg_server
from common import parser, shmnumpy

PATIENCE = 60  # seconds to wait for the first frame of a bounded run
HINT = ("No frame for {:.0f} s. Is the publisher on air, under exactly this id, and with "
        "this password?")


def load_stamps():
    """The module that reads the test publisher's clock."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                                    "tests", "support"))
    import stamp
    return stamp


class Second:
    """What is told about the frames of one second."""

    def __init__(self, stamps) -> None:
        self.stamps, self.count, self.missed, self.ages = stamps, 0, 0, []
        self.start = time.monotonic()

    def add(self, frame) -> None:
        self.count += 1
        self.missed += frame.missed
        found = self.stamps and self.stamps.read(frame.array)
        if found:
            self.ages.append(self.stamps.age_ms(found[1]))

    def over(self) -> bool:
        return time.monotonic() - self.start >= 1

    def latency(self) -> str:
        return f"{statistics.median(self.ages):.0f} ms" if self.ages else ""

    def tell(self, frame) -> None:
        rate = self.count / (time.monotonic() - self.start)
        latency = self.latency()
        print(f"frame {frame.number}: shape {frame.array.shape} {frame.array.dtype} "
              f"{frame.format}, {rate:.1f} frames/s"
              + (f", latency {latency}" if latency else "")
              + (f", {self.missed} missed" if self.missed else ""), flush=True)


def main() -> int:
    options = parser(__doc__.splitlines()[0])
    mjpeg_server.add_options(options)
    options.add_argument("--stamps", action="store_true",
                         help="the pictures carry the test publisher's clock")
    args = options.parse_args()
    stamps = load_stamps() if args.stamps else None
    hub, total, end, started = mjpeg_server.Hub(args.name), 0, None, time.monotonic()
    with shmnumpy.open(args.name, copy=True) as frames, \
            mjpeg_server.Server(hub, args.host, args.port):
        second, told = Second(stamps), time.monotonic()
        while end is None or time.monotonic() < end:
            frame = frames.read(1)
            if frame is None:
                silence = time.monotonic() - told
                if silence >= 10:
                    told = time.monotonic()
                    print(HINT.format(told - started), flush=True)
                if args.seconds and not total and told - started >= PATIENCE:
                    return 1
                continue
            total += 1
            started = told = time.monotonic()
            if end is None and args.seconds:
                end = started + args.seconds
            hub.show(frame)
            second.add(frame)
            if second.over():
                second.tell(frame)
                if second.ages:
                    hub.notes["latency"] = second.latency()
                second = Second(stamps)
    print(f"{total} frames in {args.seconds:g} s")
    return 0 if total >= args.seconds else 1


if __name__ == "__main__":
    # demo.sh starts this in the background, where SIGINT is ignored by default.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"cannot show the frames: {error}; --port 0 takes a free port")
