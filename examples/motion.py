#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tells when something moves, with OpenCV's background subtraction.

python3 examples/motion.py --name test --threshold 1
"""
import sys
import time

from common import Run, parser, require_opencv


def main() -> int:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--threshold", type=float, default=1,
                         help="percent of the picture that must change")
    options.add_argument("--width", type=int, default=320,
                         help="of the picture that is looked at, pixels")
    args = options.parse_args()
    cv2 = require_opencv()
    background = cv2.createBackgroundSubtractorMOG2(history=100, detectShadows=False)
    # Views: nothing is copied. They are read-only, and OpenCV would not notice: draw on
    # `small`, which is memory of its own, or on frame.copy(), never on the frame.
    run, moving, warm = Run(args, copy=False), False, 0
    for frame in run:
        height = max(1, frame.height * args.width // frame.width)
        small = cv2.resize(frame.gray(), (args.width, height),
                           interpolation=cv2.INTER_AREA)
        if not frame.valid():  # the view was overwritten meanwhile: wait for the next
            continue
        mask = background.apply(cv2.GaussianBlur(small, (5, 5), 0))
        percent = 100 * cv2.countNonZero(mask) / mask.size
        warm += 1
        if warm > 10 and moving != (percent >= args.threshold):
            moving = not moving
            print(f"{time.strftime('%H:%M:%S')} frame {frame.number}: "
                  f"{'motion' if moving else 'still'}, {percent:.1f} % changed",
                  flush=True)
    return run.status


if __name__ == "__main__":
    sys.exit(main())
