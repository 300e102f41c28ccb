#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints what arrives: the shortest program that gets frames as NumPy arrays.

gst-launch-1.0 videotestsrc is-live=true ! shmnumpysink shm-name=test
python3 examples/receive.py --name test --frames 100
"""
import sys

from common import Run, parser


def main() -> int:
    run = Run(parser(__doc__.splitlines()[0]).parse_args())
    for frame in run:
        print(f"frame {frame.number}: {frame.array.shape} {frame.format}, "
              f"first pixel {frame.array[0, 0]}, {frame.age * 1e3:.1f} ms old, "
              f"missed {frame.missed}", flush=True)
    return run.status


if __name__ == "__main__":
    sys.exit(main())
