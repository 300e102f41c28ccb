#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sends each frame as a JPEG in one UDP datagram.

python3 examples/push_udp.py --name test --to 127.0.0.1:5600

A datagram holds 65,507 bytes at most: quality goes down until the picture fits. The
receiver needs nothing but `cv2.imdecode(np.frombuffer(datagram, np.uint8), 1)`.
"""
import socket
import sys

from common import Run, encode_jpeg, parser

LIMIT = 65507


def main() -> int:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--to", default="127.0.0.1:5600", metavar="HOST:PORT")
    options.add_argument("--width", type=int, default=640, help="at most, pixels")
    options.add_argument("--quality", type=int, default=80, help="at most, 1 to 100")
    args = options.parse_args()
    host, _, port = args.to.rpartition(":")
    if not port.isdigit():
        options.error(f"--to {args.to}: HOST:PORT is wanted")
    sender, run, sent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), Run(args), 0
    for frame in run:
        quality = args.quality
        jpeg = encode_jpeg(frame, quality, args.width)
        while len(jpeg) > LIMIT and quality > 10:
            quality -= 10
            jpeg = encode_jpeg(frame, quality, args.width)
        if len(jpeg) <= LIMIT:
            sender.sendto(jpeg, (host, int(port)))
            sent += 1
    print(f"{sent} of {run.count} frames sent to {args.to}")
    return run.status


if __name__ == "__main__":
    sys.exit(main())
