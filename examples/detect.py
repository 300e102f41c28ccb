#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Finds people or faces, draws them and shows the result in web browsers.

python3 examples/detect.py --name test --model faces

The models come with Debian: HOG for people is in OpenCV itself, the cascades for faces
are in the package opencv-data. The latency that this adds is printed each second: from
the frame in shared memory to the picture with the boxes in it.
"""
import os
import statistics
import sys
import time

import mjpeg_server
from common import Run, encode_bgr, parser, require_opencv

CASCADES = "/usr/share/opencv4/haarcascades"


def find_people(cv2):
    """detect(gray) -> boxes as (x, y, width, height), of standing people."""
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
    return lambda gray: hog.detectMultiScale(gray, winStride=(8, 8), scale=1.1)[0]


def find_faces(cv2):
    """detect(gray) -> boxes as (x, y, width, height), of faces seen from the front."""
    path = os.path.join(CASCADES, "haarcascade_frontalface_default.xml")
    if not os.path.exists(path):
        sys.exit(f"{path} is missing: apt install opencv-data")
    cascade = cv2.CascadeClassifier(path)
    return lambda gray: cascade.detectMultiScale(gray, 1.1, 5)


def main() -> int:
    options = parser(__doc__.splitlines()[0])
    mjpeg_server.add_options(options)
    options.add_argument("--model", choices=["people", "faces"], default="people")
    options.add_argument("--width", type=int, default=480,
                         help="of the picture that is searched, pixels")
    args = options.parse_args()
    cv2 = require_opencv()
    detect = (find_people if args.model == "people" else find_faces)(cv2)
    run, hub, told, added = Run(args), mjpeg_server.Hub(args.name), time.monotonic(), []
    with mjpeg_server.Server(hub, args.host, args.port):
        for frame in run:
            scale = max(1.0, frame.width / args.width)
            size = (int(frame.width / scale), max(1, int(frame.height / scale)))
            small = cv2.resize(frame.gray(), size, interpolation=cv2.INTER_AREA)
            boxes = [[int(side * scale) for side in box] for box in detect(small)]
            picture = frame.bgr().copy()
            for x, y, width, height in boxes:
                cv2.rectangle(picture, (x, y), (x + width, y + height), (80, 220, 80), 2)
            hub.show(frame, lambda picture=picture: encode_bgr(picture))
            added.append(frame.age * 1e3)
            if time.monotonic() - told > 1 or run.count == args.frames:
                print(f"{len(boxes)} {args.model} in frame {frame.number}, added latency "
                      f"{statistics.median(added):.1f} ms (median of {len(added)})",
                      flush=True)
                told, added = time.monotonic(), []
    return run.status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        pass
