#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints what arrives: the shortest program that gets frames as NumPy arrays. It needs
shmnumpy and none of the other examples, so copy it and go on from there.

gst-launch-1.0 videotestsrc is-live=true ! shmnumpysink shm-name=test
python3 examples/receive.py --name test --frames 100
"""
import argparse
import os
import sys

# Where it is not installed: that of the source tree, if this file is in it.
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
try:
    import shmnumpy
except ImportError as missing:
    sys.exit(f"{missing}: apt install python3-shmnumpy, or copy the folder python/shmnumpy "
             "next to this file")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--name", default=shmnumpy.DEFAULT_NAME,
                         help="shm-name of the shmnumpysink")
    options.add_argument("--frames", type=int, default=0,
                         help="stop after so many; 0 = never")
    options.add_argument("--seconds", type=float,
                         help="stop when so many seconds bring no frame")
    args = options.parse_args()
    count = 0
    with shmnumpy.open(args.name, timeout=args.seconds) as frames:
        for frame in frames:
            print(f"frame {frame.number}: {frame.array.shape} {frame.format}, "
                  f"first pixel {frame.array[0, 0]}, {frame.age * 1e3:.1f} ms old, "
                  f"missed {frame.missed}", flush=True)
            count += 1
            if count == args.frames:
                return 0
    return 0 if count and not args.frames else 1  # as many as were asked for, or any


if __name__ == "__main__":
    sys.exit(main())
