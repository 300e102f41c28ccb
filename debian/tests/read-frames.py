# SPDX-License-Identifier: MIT
"""read-frames.py NAME: prints the shape of each of ten frames, which must be pictures."""
import sys

import shmnumpy

with shmnumpy.open(sys.argv[1], timeout=20) as frames:
    for count, frame in enumerate(frames, 1):
        assert frame.array.std() > 10, "no picture"
        print(frame.array.shape, frame.format)
        if count == 10:
            break
    else:
        sys.exit("no frames")
